package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	pb "example/gen/taiwa/v1"
)

// resume leaves a turn after its sixth event, and takes it up again from there.
func resume(ctx context.Context, taiwa pb.AgentServiceClient) error {
	request := &pb.InvokeRequest{Prompt: "Tell me of rivers.", RequestId: rand.Text(),
		Stream: &pb.StreamOptions{OnDisconnect: pb.DisconnectPolicy_DISCONNECT_POLICY_CONTINUE}}
	cursor := &pb.ResumeStreamRequest{}
	before, err := read(ctx, taiwa, request, cursor, 6)
	if err != nil {
		return err
	}
	after, err := read(ctx, taiwa, request, cursor, 0)
	if err != nil {
		return err
	}
	fmt.Println(strings.Join(before, " "), "cut", strings.Join(after, " "))
	return nil
}

// read shows the events that follow gives, up to the one numbered last, and returns their numbers.
func read(ctx context.Context, taiwa pb.AgentServiceClient, request *pb.InvokeRequest,
	cursor *pb.ResumeStreamRequest, last int64) ([]string, error) {
	var numbers []string
	for event, err := range follow(ctx, taiwa, request, cursor) {
		if err != nil {
			return nil, err
		}
		if event.Sequence == 0 {
			continue
		}
		show(event)
		numbers = append(numbers, fmt.Sprint(event.Sequence))
		if event.Sequence == last {
			break
		}
	}
	return numbers, nil
}
