// An order service, as a company may have it, that answers questions through Taiwa.
//
// It prints "listening on ADDRESS" when it can be called, and each call to standard error.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"net/url"
	"os/signal"
	"path"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	shop "example.com/orders/gen/shop/v1"
	taiwa "example.com/orders/gen/taiwa/v1"
)

func main() {
	log.SetFlags(log.LstdFlags | log.Lmicroseconds | log.LUTC)
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	agents := flag.String("taiwa", "http://127.0.0.1:50051", "URL of Taiwa")
	flag.Parse()
	if err := serve(*listen, *agents); err != nil {
		log.Fatal(err)
	}
}

func serve(listen, agents string) error {
	endpoint, err := url.Parse(agents)
	if err != nil {
		return err
	}
	// One connection for all calls; it is opened with the first, and again when it is lost.
	conn, err := grpc.NewClient(endpoint.Host, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}

	server := grpc.NewServer(grpc.UnaryInterceptor(logged))
	shop.RegisterOrdersServer(server, newOrders(taiwa.NewAgentServiceClient(conn)))
	// By this Taiwa learns which methods there are and what they take.
	reflection.Register(server)

	told, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(told, server.GracefulStop)
	fmt.Printf("listening on %s\n", listener.Addr())
	return server.Serve(listener)
}

// logged tells when a call begins and ends, and the moment at which its caller cancels it.
func logged(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	method := path.Base(info.FullMethod)
	left := "no deadline"
	if deadline, ok := ctx.Deadline(); ok {
		left = fmt.Sprintf("%.1f s left", time.Until(deadline).Seconds())
	}
	sent, _ := metadata.FromIncomingContext(ctx)
	log.Printf("%s begins, %s, x-user=%v traceparent=%v", method, left, sent["x-user"], sent["traceparent"])
	unwatch := context.AfterFunc(ctx, func() { log.Printf("%s cancelled: %v", method, ctx.Err()) })
	answer, err := handler(ctx, request)
	unwatch()
	log.Printf("%s ends with %v", method, status.Code(err))
	return answer, err
}
