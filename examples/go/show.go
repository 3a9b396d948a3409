package main

import (
	"fmt"
	"io"
	"iter"
	"log"

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
func showError(_ *pb.InvokeResponse, err error) {
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

// events gives what a stream brings, up to its end.
func events(stream interface{ Recv() (*pb.Event, error) }) iter.Seq[*pb.Event] {
	return func(yield func(*pb.Event) bool) {
		for {
			event, err := stream.Recv()
			if err == io.EOF || !yield(must(event, err)) {
				return
			}
		}
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}
