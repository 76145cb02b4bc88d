package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// loadCommand is `shop load [flags] URL`: orders at a steady rate, for a bounded time, of hosts of the lab alone.
func loadCommand(arguments []string) error {
	flags := flag.NewFlagSet("load", flag.ExitOnError)
	rate := flags.Float64("rps", 20, "requests a second")
	seconds := flags.Float64("for", 30, "seconds, 600 at most")
	atOnce := flags.Int("workers", 20, "requests at once, 500 at most")
	patience := flags.Duration("timeout", 5*time.Second, "of a request")
	fresh := flags.Bool("fresh", false, "a connection for each request")
	_ = flags.Parse(arguments)
	target := flags.Arg(0)
	if err := near(target); err != nil {
		return err
	}
	if *seconds <= 0 || *seconds > 600 || *rate <= 0 || *rate > 2000 || *atOnce < 1 || *atOnce > 500 {
		return errors.New("load: the rate, the time or the number at once is out of bounds")
	}
	client := &http.Client{Timeout: *patience, Transport: &http.Transport{
		DisableKeepAlives: *fresh, MaxIdleConnsPerHost: *atOnce, MaxConnsPerHost: *atOnce,
	}}
	slots := make(chan struct{}, *atOnce)
	var asked, failed, skipped int
	var lock sync.Mutex
	var wanted sync.WaitGroup
	end := time.Now().Add(time.Duration(*seconds * float64(time.Second)))
	ticks := time.NewTicker(time.Duration(float64(time.Second) / *rate))
	defer ticks.Stop()
	for now := range ticks.C {
		if now.After(end) {
			break
		}
		select {
		case slots <- struct{}{}:
		default:
			skipped++ // all workers wait: a queue here would hide that
			continue
		}
		wanted.Add(1)
		go func() {
			defer func() { <-slots; wanted.Done() }()
			good := one(client, target)
			lock.Lock()
			defer lock.Unlock()
			asked++
			if !good {
				failed++
			}
		}()
	}
	wanted.Wait()
	fmt.Printf("load: %d asked, %d failed, %d not begun because %d were under way\n", asked, failed, skipped, *atOnce)
	return nil
}

func one(client *http.Client, target string) bool {
	answer, err := client.Get(target)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode == http.StatusOK
}

// near says no to whatever is not this machine or a private address.
func near(target string) error {
	parsed, err := url.Parse(target)
	if err != nil || parsed.Hostname() == "" {
		return fmt.Errorf("load: %q is no URL", target)
	}
	addresses, err := net.LookupIP(parsed.Hostname())
	if err != nil {
		return err
	}
	for _, address := range addresses {
		if !address.IsLoopback() && !address.IsPrivate() {
			return fmt.Errorf("load: %s is neither loopback nor private", address)
		}
	}
	return nil
}
