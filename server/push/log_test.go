package push_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/countersign-go/countersign/server"
	"github.com/countersign-go/countersign/server/push"
	"github.com/countersign-go/countersign/server/push/pushtest"
	"github.com/countersign-go/countersign/token/pushwire"
)

// The log has who came, what was refused, once a second at most, and how it ended.
func TestLog(t *testing.T) {
	var out bytes.Buffer
	log := logrus.New()
	log.SetOutput(&out)
	log.SetFormatter(&logrus.JSONFormatter{})
	s := pushtest.NewServer(t, push.Config{Setup: groups, Limits: push.Limits{WriteTime: time.Minute}}, server.Config{Log: log})
	name := strings.Repeat("\n", 2000) + "@R"
	c := pushtest.Dial(t, s, name, pushwire.Hello{})
	for range 50 {
		c.Publish("x", 9)
	}
	c.Subscribe(1)
	publish(t, s, "x", 1)
	c.Bye()
	var records []map[string]any
	for line := range bytes.Lines(out.Bytes()) {
		var r map[string]any
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if client, _ := r["client"].(string); !strings.HasSuffix(client, "... (2002 bytes)") {
			t.Errorf("client %.50q", client)
		}
		records = append(records, r)
	}
	if len(records) < 3 || len(records) > 4 || records[0]["msg"] != "context established" || records[1]["msg"] != "request refused" ||
		records[1]["level"] != "warning" || records[1]["status"] != "no such group" || records[1]["why"] != "there is no group 9" {
		t.Fatalf("records %.2000v", records)
	}
	for i, r := range records { // told once
		if flags, ok := r["flags"]; ok != (i == 0) {
			t.Errorf("record %d has the flags %v", i, flags)
		}
	}
	if end := records[len(records)-1]; end["msg"] != "session ended" || end["requests"] != 51.0 || end["pushed"] != 1.0 || end["refused"] != 50.0 {
		t.Errorf("end %.1000v", end)
	}
}

// Who tries the service with a client of another one reads in the log what is wrong.
func TestLogOtherService(t *testing.T) {
	for first, hinted := range map[string]bool{string(encode(t, pushwire.SignRequest{})): true, "": false} {
		var out bytes.Buffer
		log := logrus.New()
		log.SetOutput(&out)
		s := pushtest.NewServer(t, push.Config{Setup: groups}, server.Config{Log: log})
		c := pushtest.Connect(t, s, "alice@R")
		if first == "" {
			c.Close()
		} else if err := c.WriteRaw([]byte(first)); err != nil {
			t.Fatal(err)
		}
		<-c.Ended
		if strings.Contains(out.String(), "without service=push") != hinted {
			t.Errorf("hint wanted: %t; the log: %s", hinted, out.String())
		}
	}
}
