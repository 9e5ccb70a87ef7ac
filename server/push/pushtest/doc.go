// Package pushtest is for tests of the push service: a mechanism without secrets, a
// client that says exactly what it is told to, servers in the process, a [Network]
// in memory, and [TestBus], which every [push.Bus] has to pass.
package pushtest
