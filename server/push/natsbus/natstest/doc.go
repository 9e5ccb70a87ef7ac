// Package natstest gives tests a throwaway NATS cluster: processes of the
// nats-server installed on the machine, on loopback ports of their own. The
// routes between them go through the test, so that a partition can be made and healed.
//
//	c := natstest.New(t, 3)
//	c.Nodes[0].URL()
//	c.Isolate(0)
//	c.Heal()
//	c.Nodes[0].Kill()
//	c.Nodes[0].Start()
//
// Everything ends with the test. Where nats-server is missing the test is skipped,
// in the words of package mitrealm, or fails with CI=true in the environment.
package natstest
