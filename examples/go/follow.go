package main

import (
	"context"
	"iter"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "example/gen/taiwa/v1"
)

// How often in a row a connection may be lost before another event comes, and the bounds of the
// pauses; together they are about 20 s.
const (
	mostFailures  = 8
	shortestPause = 200 * time.Millisecond
	longestPause  = 5 * time.Second
)

// follow gives the events of a turn up to its end, each once, over as many connections as that takes.
//
// The cursor moves with them: with it another call, even of another process, goes on where this
// one was left. The request has a request_id, so that asking again is not asking twice, and
// continues when it is disconnected.
func follow(ctx context.Context, taiwa pb.AgentServiceClient, request *pb.InvokeRequest,
	cursor *pb.ResumeStreamRequest) iter.Seq2[*pb.Event, error] {
	return func(yield func(*pb.Event, error) bool) {
		// Leaving the loop closes the stream.
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		for failures := 0; ; failures++ {
			stream, err := open(ctx, taiwa, request, cursor)
			for err == nil {
				var event *pb.Event
				if event, err = stream.Recv(); err != nil {
					break
				}
				if event.Sequence > 0 { // Events of the stream alone, such as stream_resumed, have none.
					failures = 0
					cursor.TurnId, cursor.AfterSequence = event.TurnId, event.Sequence
				}
				if started := event.GetTurnStarted(); started != nil {
					cursor.SessionId = started.SessionId
				}
				// A turn that failed says why in its end, so the status behind it is not needed.
				if !yield(event, nil) || event.GetTurnEnded() != nil {
					return
				}
			}
			if status.Code(err) != codes.Unavailable || failures == mostFailures {
				yield(nil, err)
				return
			}
			pause := min(shortestPause<<failures, longestPause)
			select {
			case <-ctx.Done(): // The next try says so.
			case <-time.After(pause/2 + rand.N(pause/2)):
			}
		}
	}
}

// open asks for the turn, and once it is known, for what comes after the cursor.
func open(ctx context.Context, taiwa pb.AgentServiceClient, request *pb.InvokeRequest,
	cursor *pb.ResumeStreamRequest) (grpc.ServerStreamingClient[pb.Event], error) {
	if cursor.SessionId == "" {
		return taiwa.InvokeStream(ctx, request)
	}
	return taiwa.ResumeStream(ctx, cursor)
}
