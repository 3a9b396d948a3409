package main

import (
	"context"
	"log"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	shop "example.com/orders/gen/shop/v1"
	taiwa "example.com/orders/gen/taiwa/v1"
)

// What of a caller's metadata goes along to Taiwa, which passes it on to its tools.
var forwarded = []string{"x-user", "traceparent"}

// Ask has an agent answer. The call of Taiwa is made with ctx: it has what is left of the
// caller's deadline, and a caller that cancels or goes away cancels it.
func (o *orders) Ask(ctx context.Context, request *shop.AskRequest) (*shop.AskResponse, error) {
	if request.GetQuestion() == "" {
		return nil, status.Error(codes.InvalidArgument, "question must not be empty")
	}
	sent, _ := metadata.FromIncomingContext(ctx)
	for _, name := range forwarded {
		for _, value := range sent[name] {
			ctx = metadata.AppendToOutgoingContext(ctx, name, value)
		}
	}
	answer, err := o.agents.Invoke(ctx, &taiwa.InvokeRequest{AgentId: "clerk", Prompt: request.GetQuestion()})
	if err != nil {
		return nil, unanswered(ctx, err)
	}
	if err := good(answer.GetResult()); err != nil {
		return nil, err
	}
	return &shop.AskResponse{Answer: answer.GetText()}, nil
}

// unanswered says of a failed call of Taiwa what concerns a caller of this service. Taiwa's own
// codes and details stay in the log: they speak of a request that the caller did not make.
func unanswered(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return status.FromContextError(ctx.Err()).Err()
	}
	log.Printf("Taiwa gave no answer: %v", err)
	switch status.Code(err) {
	case codes.DeadlineExceeded:
		return status.Error(codes.DeadlineExceeded, "the answer took too long")
	case codes.Unavailable, codes.ResourceExhausted, codes.Aborted:
		return status.Error(codes.Unavailable, "no question can be answered at present; try again later")
	default:
		return status.Error(codes.Internal, "the question could not be answered")
	}
}

// good fails where a turn ended without an error, and yet without the whole answer.
func good(result *taiwa.TurnResult) error {
	switch reason := result.GetStopReason(); reason {
	case taiwa.StopReason_STOP_REASON_END_TURN, taiwa.StopReason_STOP_REASON_STOP_SEQUENCE:
		return nil
	case taiwa.StopReason_STOP_REASON_APPROVAL_REQUIRED:
		return status.Error(codes.FailedPrecondition, "the answer waits for somebody's consent")
	case taiwa.StopReason_STOP_REASON_MAX_TOKENS, taiwa.StopReason_STOP_REASON_MAX_STEPS,
		taiwa.StopReason_STOP_REASON_BUDGET_EXCEEDED, taiwa.StopReason_STOP_REASON_CONTEXT_WINDOW_EXCEEDED:
		return status.Error(codes.FailedPrecondition, "the answer was cut short; ask for less")
	default:
		log.Printf("Taiwa stopped before an answer: %v, turn %s", reason, result.GetTurnId())
		return status.Error(codes.Internal, "the question could not be answered")
	}
}
