package main

import (
	"context"
	"errors"
	"io"

	pb "example/gen/taiwa/v1"
)

const schema = `{"type": "object", "properties": {"city": {"type": "string"}}}`

// converse interrupts an answer by another question, whose answer needs a tool of ours.
func converse(ctx context.Context, taiwa pb.AgentServiceClient) error {
	// Returning early ends the call.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	call, err := taiwa.Converse(ctx)
	if err != nil {
		return err
	}
	weather := &pb.ToolSpec{Name: "get_weather", Description: "Tells the weather.",
		Input: &pb.ToolSpec_InputSchemaJson{InputSchemaJson: schema}}
	setup := &pb.SessionSetup{InputPolicy: pb.InputPolicy_INPUT_POLICY_INTERRUPT,
		Options: &pb.TurnOptions{ClientTools: []*pb.ToolSpec{weather}}}
	if err := say(call, &pb.ConverseRequest{Frame: &pb.ConverseRequest_Setup{Setup: setup}}); err != nil {
		return err
	}
	if err := say(call, prompt("Tell me of the tides.")); err != nil {
		return err
	}
	pieces := 0
	for event, err := range events(call) {
		if err != nil {
			return err
		}
		show(event)
		switch payload := event.Payload.(type) {
		case *pb.Event_TextDelta:
			if pieces++; pieces == 3 { // In the middle of the answer: what is said now interrupts it.
				err = say(call, prompt("Stop! What is the weather in Oslo?"))
			}
		case *pb.Event_ToolCall:
			result := &pb.ToolResult{ToolCallId: payload.ToolCall.ToolCallId, Text: "7 degrees"}
			err = say(call, &pb.ConverseRequest{Frame: &pb.ConverseRequest_ToolResult{ToolResult: result}})
		case *pb.Event_TurnEnded:
			if payload.TurnEnded.Status != pb.TurnStatus_TURN_STATUS_INTERRUPTED {
				err = call.CloseSend()
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func prompt(text string) *pb.ConverseRequest {
	return &pb.ConverseRequest{Frame: &pb.ConverseRequest_Prompt{Prompt: text}}
}

// say sends a frame. To a call that has ended it says nothing: why it ended, Recv tells.
func say(call pb.AgentService_ConverseClient, frame *pb.ConverseRequest) error {
	if err := call.Send(frame); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}
