//go:build !nats

package main

const hasNATS = false
