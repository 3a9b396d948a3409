// Program example makes the calls that ../README.md lists, and prints what comes of them.
package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "example/gen/taiwa/v1"
)

const schema = `{"type": "object", "properties": {"city": {"type": "string"}}}`

func main() {
	endpoint := cmp.Or(os.Getenv("TAIWA_ENDPOINT"), "127.0.0.1:50051")
	channel := must(grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials())))
	defer channel.Close()
	taiwa, ctx := pb.NewAgentServiceClient(channel), context.Background()

	fmt.Println("== Invoke")
	fmt.Println(must(taiwa.Invoke(ctx, &pb.InvokeRequest{Prompt: "What is a stream?"})).Text)
	fmt.Println("== InvokeStream")
	for event := range events(must(taiwa.InvokeStream(ctx, &pb.InvokeRequest{Prompt: "What is a stream?"}))) {
		show(event)
	}
	fmt.Println("== Converse")
	converse(must(taiwa.Converse(ctx)))
	fmt.Println("== Errors")
	options := &pb.TurnOptions{MaxTokens: proto.Int32(-1)}
	showError(taiwa.Invoke(ctx, &pb.InvokeRequest{Prompt: "Hi!", Options: options}))
	soon, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	// Told by this side or by the server, whichever is first; the code is the same.
	_, err := taiwa.Invoke(soon, &pb.InvokeRequest{Prompt: "Think for ever."})
	fmt.Println(code.Code(status.Code(err)))
	fmt.Println("== ResumeStream")
	resume(ctx, taiwa)
}

func converse(call pb.AgentService_ConverseClient) {
	weather := &pb.ToolSpec{Name: "get_weather", Description: "Tells the weather.",
		Input: &pb.ToolSpec_InputSchemaJson{InputSchemaJson: schema}}
	setup := &pb.SessionSetup{InputPolicy: pb.InputPolicy_INPUT_POLICY_INTERRUPT,
		Options: &pb.TurnOptions{ClientTools: []*pb.ToolSpec{weather}}}
	// Whatever ends the call is told by events, so what Send says of it is not looked at.
	call.Send(&pb.ConverseRequest{Frame: &pb.ConverseRequest_Setup{Setup: setup}})
	call.Send(&pb.ConverseRequest{Frame: &pb.ConverseRequest_Prompt{Prompt: "Tell me of the tides."}})
	pieces := 0
	for event := range events(call) {
		show(event)
		switch payload := event.Payload.(type) {
		case *pb.Event_TextDelta:
			if pieces++; pieces == 3 { // In the middle of the answer: what is said now interrupts it.
				prompt := &pb.ConverseRequest_Prompt{Prompt: "Stop! What is the weather in Oslo?"}
				call.Send(&pb.ConverseRequest{Frame: prompt})
			}
		case *pb.Event_ToolCall:
			result := &pb.ToolResult{ToolCallId: payload.ToolCall.ToolCallId, Text: "7 degrees"}
			call.Send(&pb.ConverseRequest{Frame: &pb.ConverseRequest_ToolResult{ToolResult: result}})
		case *pb.Event_TurnEnded:
			if payload.TurnEnded.Status != pb.TurnStatus_TURN_STATUS_INTERRUPTED {
				call.CloseSend()
			}
		}
	}
}

func resume(ctx context.Context, taiwa pb.AgentServiceClient) {
	options := &pb.StreamOptions{OnDisconnect: pb.DisconnectPolicy_DISCONNECT_POLICY_CONTINUE}
	cuttable, cut := context.WithCancel(ctx)
	stream := must(taiwa.InvokeStream(cuttable, &pb.InvokeRequest{Prompt: "Tell me of rivers.", Stream: options}))
	cursor, seen := &pb.ResumeStreamRequest{}, ""
	for cursor.AfterSequence < 6 {
		event := must(stream.Recv())
		show(event)
		seen += fmt.Sprint(event.Sequence, " ")
		cursor.SessionId = cmp.Or(cursor.SessionId, event.GetTurnStarted().GetSessionId())
		cursor.TurnId, cursor.AfterSequence = event.TurnId, event.Sequence
	}
	cut()
	seen += "cut"
	for event := range events(must(taiwa.ResumeStream(ctx, cursor))) {
		show(event)
		if event.Sequence > 0 { // Events of the stream alone, such as stream_resumed, have no number.
			seen += fmt.Sprint(" ", event.Sequence)
		}
	}
	fmt.Println(seen)
}
