//go:build unix

package main

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign-go/countersign/client"
	"github.com/countersign-go/countersign/client/push"
	"github.com/countersign-go/countersign/gss"
	"github.com/countersign-go/countersign/gss/krb5"
	"github.com/countersign-go/countersign/token/pushwire"
)

// config is that of a client of the library's, who is a user of the scene.
func (s *pushScene) config(t *testing.T, user string) client.Config {
	t.Helper()
	profile, err := krb5.ReadProfile(s.realm.ConfigFile)
	check(t, err)
	cred, err := krb5.AcquireCredential(t.Context(), krb5.CredentialConfig{
		Usage: gss.InitiateOnly, Name: gss.UserName(user), Password: user + "pw", Profile: profile,
	})
	check(t, err)
	initiator, err := krb5.NewInitiator(krb5.InitiatorConfig{Credential: cred})
	check(t, err)
	return client.Config{Addr: strings.TrimPrefix(s.tcp, "tcp://"), Initiator: initiator, Target: gss.HostService("host@localhost")}
}

// A listener to events writes them down.
type diary struct {
	mu    sync.Mutex
	pages []string
	news  chan struct{} // one element: there is something new
}

func newDiary() *diary { return &diary{news: make(chan struct{}, 1)} }

func (d *diary) write(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pages = append(d.pages, fmt.Sprintf(format, args...))
	select {
	case d.news <- struct{}{}:
	default:
	}
}

func (d *diary) events() push.Events {
	return push.Events{
		Published: func(p push.Publication) { d.write("%s published %v %s", p.From, p.Groups, p.Data) },
		Sent:      func(m push.Direct) { d.write("%s sent %s", m.From, m.Data) },
		Joined:    func(groups []uint32) { d.write("joined %v", groups) },
		Lost:      func(l push.Loss) { d.write("lost %+v", l) },
	}
}

// await waits until there are so many pages, and gives them.
func (d *diary) await(t *testing.T, n int) []string {
	t.Helper()
	timeout := time.After(patience)
	for {
		d.mu.Lock()
		pages := d.pages[:len(d.pages):len(d.pages)]
		d.mu.Unlock()
		if len(pages) >= n {
			return pages
		}
		select {
		case <-d.news:
		case <-timeout:
			t.Fatalf("after %v there is only %q", patience, pages)
		}
	}
}

// The tutorial's scenario with a hundred clients: everybody gets everything, once,
// in order, from whom it was; a user with five connections on each of them.
func TestPushHundred(t *testing.T) {
	const users, sessions, messages = 20, 5, 10
	passwords := map[string]string{"alice": "alicepw"}
	for u := range users {
		passwords[fmt.Sprint("user", u)] = fmt.Sprintf("user%dpw", u)
	}
	s := newPushScene(t, passwords)
	var diaries [users][sessions]*diary
	var clients []*push.Client
	var mu sync.Mutex
	var dialling sync.WaitGroup
	for u := range users {
		cfg := s.config(t, fmt.Sprint("user", u))
		for i := range sessions {
			d := newDiary()
			diaries[u][i] = d
			dialling.Go(func() {
				c, err := push.Dial(t.Context(), push.Config{Client: cfg, Events: d.events()})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				clients = append(clients, c)
			})
		}
	}
	dialling.Wait()
	defer func() {
		for _, c := range clients {
			_ = c.Close() // all was said
		}
	}()
	if t.Failed() {
		return
	}
	alice, err := push.Dial(t.Context(), push.Config{Client: s.config(t, "alice")})
	check(t, err)
	defer alice.Close()
	check(t, func() error { _, err := alice.Leave(1).Wait(t.Context()); return err }())
	batch := alice.Batch()
	for i := range messages {
		batch.Publish(fmt.Append(nil, "message ", i), 1, 2)
		batch.Send(fmt.Sprint("user", i), []byte("for you"))
	}
	batch.Commit()
	outcomes, err := batch.Wait(t.Context())
	check(t, err)
	for i, o := range outcomes {
		if receivers := []int{users * sessions, sessions}[i%2]; o.Err != nil || o.Receivers != receivers {
			t.Errorf("request %d: %d receivers, %v; want %d", i, o.Receivers, o.Err, receivers)
		}
	}
	for u := range users {
		expected := []string{"joined [1 3]"}
		for i := range messages {
			expected = append(expected, fmt.Sprintf("alice@MIT.TEST published [{1 %d} {2 %d}] message %d", i+1, i+1, i))
			if i == u {
				expected = append(expected, "alice@MIT.TEST sent for you")
			}
		}
		for i := range sessions {
			if got := diaries[u][i].await(t, len(expected)); fmt.Sprint(got) != fmt.Sprint(expected) {
				t.Errorf("session %d of user%d got\n%q\nwant\n%q", i, u, got, expected)
			}
		}
	}
}

// A client that claims to be another gets nowhere. There is no field for it in what
// clients send; what servers send, in which there is one, is no request.
func TestPushForgedNames(t *testing.T) {
	s := newPushScene(t, maps.Clone(everyone))
	d := newDiary()
	bob, err := push.Dial(t.Context(), push.Config{Client: s.config(t, "bob"), Events: d.events()})
	check(t, err)
	defer bob.Close()
	d.await(t, 1) // joined
	mallory := s.config(t, "mallory")
	now := time.Now()
	for _, forged := range []pushwire.Message{
		pushwire.Publication{From: "alice@MIT.TEST", Time: now, Stamps: []pushwire.Stamp{{Group: 1, Seq: 1}}, Data: []byte("forged")},
		pushwire.Direct{From: "alice@MIT.TEST", Time: now, Data: []byte("forged")},
		pushwire.Forward{To: "bob@MIT.TEST", Direct: pushwire.Direct{From: "alice@MIT.TEST", Time: now, Data: []byte("forged")}},
		pushwire.Forward{Local: true, To: "bob", Direct: pushwire.Direct{From: "alice@MIT.TEST", Time: now, Data: []byte("forged")}},
		pushwire.Presence{Entered: true, Who: "alice@MIT.TEST", Groups: []uint32{1}},
		pushwire.Welcome{You: "alice@MIT.TEST", Local: "alice"},
	} {
		t.Run(fmt.Sprintf("%T", forged), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			link, err := client.Establish(ctx, mallory)
			check(t, err)
			defer link.Close()
			check(t, link.Conn.SetDeadline(time.Now().Add(patience)))
			wire := pushwire.NewConn(link.Frames, link.Context, nil)
			for _, m := range []pushwire.Message{pushwire.Hello{Version: pushwire.Version}, forged} {
				b, err := pushwire.Append(nil, m)
				check(t, err)
				check(t, wire.Write(b))
			}
			for {
				b, err := wire.Read()
				if err != nil {
					t.Fatalf("no Bye before %v", err)
				}
				for len(b) > 0 {
					var m pushwire.Message
					m, b, err = pushwire.Next(b)
					check(t, err)
					switch m := m.(type) {
					case pushwire.Welcome:
						if m.You != "mallory@MIT.TEST" {
							t.Errorf("the server takes mallory for %s", m.You)
						}
					case pushwire.Bye:
						if m.Code != pushwire.Violation {
							t.Errorf("Bye %+v", m)
						}
						return
					}
				}
			}
		})
	}
	// Nothing of it has come, as the next thing that comes is this.
	_, err = bob.Send("bob", []byte("to myself")).Wait(t.Context())
	check(t, err)
	if got := d.await(t, 2); fmt.Sprint(got) != "[joined [1 3] bob@MIT.TEST sent to myself]" {
		t.Errorf("bob was told %q", got)
	}
}
