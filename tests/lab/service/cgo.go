//go:build labcgo

package main

// The variant "cgo" is built with this file: a program that calls C has an interpreter and needs libc.

// static int one(void) { return 1; }
import "C"

func init() { _ = C.one() }
