package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	shop "example.com/orders/gen/shop/v1"
	taiwa "example.com/orders/gen/taiwa/v1"
)

// How long it takes to look up the order "slow".
const slow = 30 * time.Second

type orders struct {
	shop.UnimplementedOrdersServer
	agents taiwa.AgentServiceClient

	mutex sync.Mutex
	kept  []*shop.Order
}

func newOrders(agents taiwa.AgentServiceClient) *orders {
	noon := time.Date(2026, time.November, 2, 12, 0, 0, 0, time.UTC)
	return &orders{agents: agents, kept: []*shop.Order{
		{OrderId: "o-1", Customer: "Ada", Item: "anvil", Count: 2, Status: shop.OrderStatus_ORDER_STATUS_SHIPPED, PlaceTime: timestamppb.New(noon)},
		{OrderId: "slow", Customer: "Grace", Item: "compiler", Count: 1, Status: shop.OrderStatus_ORDER_STATUS_PLACED, PlaceTime: timestamppb.New(noon.Add(time.Hour))},
	}}
}

func (o *orders) GetOrder(ctx context.Context, request *shop.GetOrderRequest) (*shop.Order, error) {
	if request.GetOrderId() == "slow" {
		select {
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		case <-time.After(slow):
		}
	}
	o.mutex.Lock()
	defer o.mutex.Unlock()
	for _, order := range o.kept {
		if order.GetOrderId() == request.GetOrderId() {
			return order, nil
		}
	}
	return nil, status.Errorf(codes.NotFound, "there is no order %q", request.GetOrderId())
}

func (o *orders) ListOrders(_ context.Context, request *shop.ListOrdersRequest) (*shop.ListOrdersResponse, error) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	found := &shop.ListOrdersResponse{}
	for _, order := range o.kept {
		if request.GetCustomer() == "" || request.GetCustomer() == order.GetCustomer() {
			found.Orders = append(found.Orders, order)
		}
	}
	return found, nil
}

func (o *orders) PlaceOrder(_ context.Context, request *shop.PlaceOrderRequest) (*shop.Order, error) {
	if request.GetCount() < 1 {
		return nil, status.Error(codes.InvalidArgument, "count must be 1 or more")
	}
	o.mutex.Lock()
	defer o.mutex.Unlock()
	order := &shop.Order{
		OrderId:   fmt.Sprintf("o-%d", len(o.kept)+1),
		Customer:  request.GetCustomer(),
		Item:      request.GetItem(),
		Count:     request.GetCount(),
		Status:    shop.OrderStatus_ORDER_STATUS_PLACED,
		PlaceTime: timestamppb.Now(),
	}
	// An order is not changed once it is here, so that answers need no copy of it.
	o.kept = append(o.kept, order)
	return order, nil
}
