//go:build nats

package main

const hasNATS = true
