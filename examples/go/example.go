// Program example makes the calls that ../README.md lists, and prints what comes of them.
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"net/url"
	"os"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "example/gen/taiwa/v1"
)

// Longest time for the answer to a call that names none itself; a turn may take long.
const longestCall = time.Minute

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	endpoint, err := url.Parse(cmp.Or(os.Getenv("TAIWA_ENDPOINT"), "http://127.0.0.1:50051"))
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient(endpoint.Host,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithUnaryInterceptor(withDeadline),
		// A peer that went without a word is noticed by its silence.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second}))
	if err != nil {
		return err
	}
	defer conn.Close()
	taiwa := pb.NewAgentServiceClient(conn)

	fmt.Println("== Invoke")
	answer, err := taiwa.Invoke(ctx, &pb.InvokeRequest{Prompt: "What is a stream?"})
	if err != nil {
		return err
	}
	fmt.Println(answer.Text)
	fmt.Println("== InvokeStream")
	stream, err := taiwa.InvokeStream(ctx, &pb.InvokeRequest{Prompt: "What is a stream?"})
	if err != nil {
		return err
	}
	for event, err := range events(stream) {
		if err != nil {
			return err
		}
		show(event)
	}
	fmt.Println("== Converse")
	if err := converse(ctx, taiwa); err != nil {
		return err
	}
	fmt.Println("== Errors")
	fail(ctx, taiwa)
	fmt.Println("== ResumeStream")
	return resume(ctx, taiwa)
}

// withDeadline gives a deadline to calls whose caller did not; streams may last.
func withDeadline(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn,
	invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, longestCall)
		defer cancel()
	}
	return invoke(ctx, method, request, reply, conn, options...)
}

func fail(ctx context.Context, taiwa pb.AgentServiceClient) {
	options := &pb.TurnOptions{MaxTokens: proto.Int32(-1)}
	_, err := taiwa.Invoke(ctx, &pb.InvokeRequest{Prompt: "Hi!", Options: options})
	showError(err)
	soon, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	// Told by this side or by the server, whichever is first; the code is the same.
	_, err = taiwa.Invoke(soon, &pb.InvokeRequest{Prompt: "Think for ever."})
	fmt.Println(code.Code(status.Code(err)))
}
