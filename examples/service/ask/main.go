// A caller of the order service: asks a question, and cancels when it is told to stop.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	shop "example.com/orders/gen/shop/v1"
)

func main() {
	log.SetFlags(log.LstdFlags | log.Lmicroseconds | log.LUTC)
	address := flag.String("address", "127.0.0.1:50071", "address of the order service")
	user := flag.String("user", "ada", "who asks")
	timeout := flag.Duration("timeout", 20*time.Second, "longest time for the answer")
	flag.Parse()
	if err := ask(*address, *user, *timeout, strings.Join(flag.Args(), " ")); err != nil {
		log.Fatal(err)
	}
}

func ask(address, user string, timeout time.Duration, question string) error {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()

	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	stopped := make(chan os.Signal, 1)
	signal.Notify(stopped, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-stopped
		log.Print("the caller cancels")
		cancel()
	}()

	// As a tracing library would send it: a trace and a span, by W3C's Trace Context.
	traceparent := fmt.Sprintf("00-%016x%016x-%016x-01", rand.Uint64(), rand.Uint64(), rand.Uint64())
	ctx = metadata.AppendToOutgoingContext(ctx, "x-user", user, "traceparent", traceparent)
	answer, err := shop.NewOrdersClient(conn).Ask(ctx, &shop.AskRequest{Question: question})
	if err != nil {
		return err
	}
	fmt.Println(answer.GetAnswer())
	return nil
}
