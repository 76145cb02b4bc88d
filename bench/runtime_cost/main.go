// Copyright: goready.preflight contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Runtimecost is the service that bench/runtime_cost.py asks for profiles, and the client that notices what that does to it.
//
//	runtimecost -serve 127.0.0.1:0 -goroutines 2000     prints its address; /gap is the longest gap of a 1 ms ticker in ns
//	runtimecost -poll http://127.0.0.1:NNN/ping          for every line on stdin: count and slowest answer (ns) since the last one
//	runtimecost -sampling                                what mutex and block profiling cost where nothing but waiting is done
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	serveAt := flag.String("serve", "", "address")
	count := flag.Int("goroutines", 100, "goroutines that wait")
	poll := flag.String("poll", "", "URL")
	sampling := flag.Bool("sampling", false, "")
	flag.Parse()
	switch {
	case *sampling:
		measureSampling()
	case *poll != "":
		pollFor(*poll)
	default:
		serve(*serveAt, *count)
	}
}

// --- the service

var live [][]byte

func serve(address string, count int) {
	runtime.SetMutexProfileFraction(100)
	runtime.SetBlockProfileRate(10_000)
	for number := 0; number < 64<<10; number++ { // 64 MiB that live, so that a collection has work to do
		live = append(live, make([]byte, 1024))
	}
	// 20 sources of waiting, 4 to 12 frames deep, as a program of some size has.
	for number := 0; number < count; number++ {
		go deeper(4+number%5*2, number%4)
	}
	for number := 0; number < 4; number++ {
		go contend()
	}
	var gap atomic.Int64
	go func() {
		last := time.Now()
		for {
			time.Sleep(time.Millisecond)
			now := time.Now()
			if took := int64(now.Sub(last)); took > gap.Load() {
				gap.Store(took)
			}
			last = now
		}
	}()
	http.HandleFunc("/ping", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "pong") })
	http.HandleFunc("/gap", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, gap.Swap(0)) })
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr())
	log.Fatal(http.Serve(listener, nil))
}

var (
	never  = make(chan int)
	forgo  = make(chan struct{})
	shared sync.Mutex
)

//go:noinline
func deeper(depth, way int) int {
	if depth > 0 {
		return deeper(depth-1, way) + 1
	}
	switch way {
	case 0:
		return <-never
	case 1:
		select {
		case <-never:
		case <-forgo:
		}
	case 2:
		var cond = sync.NewCond(&sync.Mutex{})
		cond.L.Lock()
		cond.Wait()
	default:
		time.Sleep(time.Hour)
	}
	return 0
}

func contend() {
	for {
		shared.Lock()
		time.Sleep(time.Millisecond)
		shared.Unlock()
	}
}

// --- the client

func pollFor(url string) {
	var mutex sync.Mutex
	var count int
	var slowest time.Duration
	go func() {
		for {
			begin := time.Now()
			answer, err := http.Get(url)
			if err != nil {
				log.Fatal(err)
			}
			io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
			took := time.Since(begin)
			mutex.Lock()
			count++
			slowest = max(slowest, took)
			mutex.Unlock()
			time.Sleep(time.Millisecond)
		}
	}()
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		mutex.Lock()
		fmt.Println(count, int64(slowest))
		count, slowest = 0, 0
		mutex.Unlock()
	}
}

// --- what sampling costs

type measured struct {
	kind string
	rate int
	best float64
}

// measureSampling takes the best of seven rounds, in turns: a bad moment of the machine does not hit one rate only.
func measureSampling() {
	var all []*measured
	for _, rate := range []int{0, 1, 10_000, 1_000_000} {
		all = append(all, &measured{"block", rate, 1e18})
	}
	for _, fraction := range []int{0, 1, 10, 100} {
		all = append(all, &measured{"mutex", fraction, 1e18})
	}
	for round := 0; round < 7; round++ {
		for _, one := range all {
			work := pingPong
			if one.kind == "block" {
				runtime.SetBlockProfileRate(one.rate)
			} else {
				runtime.SetMutexProfileFraction(one.rate)
				work = fight
			}
			const count = 200_000
			begin := time.Now()
			work(count)
			one.best = min(one.best, float64(time.Since(begin))/count)
			runtime.SetBlockProfileRate(0)
			runtime.SetMutexProfileFraction(0)
		}
	}
	for _, one := range all {
		fmt.Printf("%s %d %.0f\n", one.kind, one.rate, one.best)
	}
}

// pingPong: two goroutines that hand each other a number: each operation is two waits.
func pingPong(count int) {
	there, back := make(chan int), make(chan int)
	go func() {
		for range there {
			back <- 1
		}
		close(back)
	}()
	for number := 0; number < count; number++ {
		there <- number
		<-back
	}
	close(there)
}

// fight: four goroutines that want one lock.
func fight(count int) {
	var lock sync.Mutex
	var group sync.WaitGroup
	for worker := 0; worker < 4; worker++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for number := 0; number < count/4; number++ {
				lock.Lock()
				runtime.Gosched() // somebody else runs, and finds it locked
				lock.Unlock()
			}
		}()
	}
	group.Wait()
}
