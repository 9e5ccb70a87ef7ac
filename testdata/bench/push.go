package main

import (
	"os"
	"path/filepath"
)

// What the push service delivers stands beside what NATS and its client for Go do
// alone: a benchmark of each, of one shape. Publisher, server and a thousand
// subscribers share the machine; every fiftieth subscriber reads what it gets, the
// others take it from the connection and no more.

const subscribers = 1000

func fanOut(whose, figure string) key { return key{whose, figure, 0, subscribers} }

var pushRows = []serverRow{
	{"push, 100 publications a second to 1,000 subscribers, deliveries: gss-server's service, NATS alone", fanOut("ours", "push-paced/s"), fanOut("nats", "push-paced/s"), rateText, 0, 0},
	{"the same, median time to delivery", fanOut("ours", "push-paced-p50"), fanOut("nats", "push-paced-p50"), timeText, 0, 0},
	{"the same, p99", fanOut("ours", "push-paced-p99"), fanOut("nats", "push-paced-p99"), timeText, 0, 0},
	{"push, 32 publications under way, deliveries", fanOut("ours", "push-window/s"), fanOut("nats", "push-window/s"), rateText, 0, 0},
}

// NATS's names of what is measured are below its one for the subscribers.
func fanOutMetrics(whose, name string) []metric {
	return []metric{
		{name + "/100_a_second", "deliveries/s", fanOut(whose, "push-paced/s"), 1},
		{name + "/100_a_second", "p50-µs", fanOut(whose, "push-paced-p50"), 1e3},
		{name + "/100_a_second", "p99-µs", fanOut(whose, "push-paced-p99"), 1e3},
		{name + "/window_32", "deliveries/s", fanOut(whose, "push-window/s"), 1},
	}
}

var pushBenchmarks = []benchmark{
	{"./server/push", "FanOut$", "3s", "0.2s", fanOutMetrics("ours", "FanOut")},
	{"./server/push/natsbus", "NATSFanOut$/sampled$", "3s", "0.2s", fanOutMetrics("nats", "NATSFanOut/sampled")},
}

// push measures the push service.
func (b *bench) push() error {
	peers, err := filepath.Abs("bin/peers/usr/sbin") // where nats-server is unpacked
	if err != nil {
		return err
	}
	if err := os.Setenv("PATH", os.Getenv("PATH")+string(os.PathListSeparator)+peers); err != nil {
		return err
	}
	return b.benchmarks("push", pushBenchmarks)
}
