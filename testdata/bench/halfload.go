package main

import (
	"context"
	"fmt"
	"time"

	"github.com/countersign-go/countersign/client"
	"github.com/countersign-go/countersign/client/load"
)

// halfLoad has messages come on a schedule, at half the peak of 64 connections, to
// gss-server and to the floor: several times, as peaks move with what else the
// machine does.
func (b *bench) halfLoad(s *site) error {
	srv, err := s.start("ours")
	if err != nil {
		return err
	}
	defer srv.stop()
	echo, err := s.startEcho(header + mic)
	if err != nil {
		return err
	}
	defer echo.stop()
	runs := 4
	if b.quick {
		runs = 1
	}
	for range runs {
		if err := b.half("ours", srv, load.Config{Client: srv.config(), Message: text(1024)}); err != nil {
			return err
		}
		bare := client.Config{Addr: echo.addr, Unauthenticated: true}
		if err := b.half("go", echo, load.Config{Client: bare, Message: text(1024 + overhead)}); err != nil {
			return err
		}
	}
	return nil
}

// half measures messages at half of the server's peak. What their latency tells of
// a server is spoilt where the system gives the server no processor: for how long
// that was is measured, too.
func (b *bench) half(side string, srv *server, cfg load.Config) error {
	cfg.Concurrency, cfg.Duration = 64, 500*time.Millisecond
	if b.quick {
		cfg.Duration /= 5
	}
	peak, err := runLoad(cfg)
	if err != nil {
		return err
	}
	cfg.Rate = float64(peak.Messages) / peak.Elapsed.Seconds() / 2
	cfg.Duration *= 2
	before, err := srv.schedule()
	if err != nil {
		return err
	}
	half, err := runLoad(cfg)
	if err != nil {
		return err
	}
	after, err := srv.schedule()
	if err != nil {
		return err
	}
	b.figures.add(key{side, "half-p50", 18, 1024}, float64(half.Message.P50))
	b.figures.add(key{side, "half-p99", 18, 1024}, float64(half.Message.P99))
	b.figures.add(key{side, "half-running", 18, 1024}, float64(after.running-before.running)/float64(half.Messages))
	b.figures.add(key{side, "half-waiting", 18, 1024}, float64(after.waiting-before.waiting)/float64(half.Messages))
	return nil
}

func runLoad(cfg load.Config) (*load.Report, error) {
	report, err := load.Run(context.Background(), cfg)
	if err != nil {
		return nil, err
	}
	if n := report.Failed(); n > 0 {
		return nil, fmt.Errorf("load: %d sessions failed", n)
	}
	return report, nil
}
