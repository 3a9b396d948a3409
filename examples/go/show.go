package main

import (
	"errors"
	"fmt"
	"io"
	"iter"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"

	pb "example/gen/taiwa/v1"
)

// show prints text as it comes; there are more kinds of events, and there may be new ones.
func show(event *pb.Event) {
	switch payload := event.Payload.(type) {
	case *pb.Event_TextDelta:
		fmt.Print(payload.TextDelta.Text)
	case *pb.Event_ToolCall:
		fmt.Printf("[%s %s]\n", payload.ToolCall.ToolName, payload.ToolCall.InputJson)
	case *pb.Event_TurnEnded:
		fmt.Printf("\n[%s]\n", payload.TurnEnded.Status)
	}
}

// showError prints the code, the reason and the fields at fault, which programs branch on.
func showError(err error) {
	fmt.Print(code.Code(status.Code(err)))
	for _, detail := range status.Convert(err).Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			fmt.Print(" ", detail.Reason)
		case *errdetails.BadRequest:
			for _, violation := range detail.FieldViolations {
				fmt.Print(" ", violation.Field)
			}
		}
	}
	fmt.Println()
}

// events gives what a stream brings, up to its end or its failure.
func events(stream interface{ Recv() (*pb.Event, error) }) iter.Seq2[*pb.Event, error] {
	return func(yield func(*pb.Event, error) bool) {
		for {
			event, err := stream.Recv()
			if errors.Is(err, io.EOF) || !yield(event, err) || err != nil {
				return
			}
		}
	}
}
