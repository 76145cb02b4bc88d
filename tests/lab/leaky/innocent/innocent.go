// Package innocent is what every healthy service has: goroutines that block for hours, as they should, and others
// whose number goes up and down.
package innocent

import (
	"context"
	"io"
	"log"
	"math/rand"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// Start starts them; they end with ctx. fluctuating is the mean number of requests at work.
func Start(ctx context.Context, fluctuating int) {
	startPool(ctx, 8)
	startTickers(ctx, 3)
	startSignals(ctx)
	startListener(ctx)
	startKeepAlive(ctx, 4)
	go lockedToThread(ctx)
	if fluctuating > 0 {
		go fluctuate(ctx, fluctuating)
	}
}

// startPool: workers that wait for jobs as long as the process lives.
func startPool(ctx context.Context, size int) {
	jobs := make(chan int)
	for number := 0; number < size; number++ {
		go constantWorker(jobs)
	}
	go func() {
		defer close(jobs)
		for sleep(ctx, 50*time.Millisecond) {
			jobs <- 1
		}
	}()
}

func constantWorker(jobs <-chan int) {
	for range jobs {
		time.Sleep(time.Millisecond)
	}
}

func sleep(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func startTickers(ctx context.Context, number int) {
	for ; number > 0; number-- {
		go tickerLoop(ctx, time.NewTicker(time.Second))
	}
}

func tickerLoop(ctx context.Context, ticker *time.Ticker) {
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func startSignals(ctx context.Context) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	go handleSignals(ctx, signals)
}

func handleSignals(ctx context.Context, signals <-chan os.Signal) {
	for {
		select {
		case <-signals:
			log.Print("reload")
		case <-ctx.Done():
			return
		}
	}
}

func startListener(ctx context.Context) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		<-ctx.Done()
		listener.Close()
	}()
	go acceptLoop(listener)
}

func acceptLoop(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		connection.Close()
	}
}

// startKeepAlive: clients whose connections stay open between their requests.
func startKeepAlive(ctx context.Context, number int) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok\n")
	})}
	go func() { log.Print(server.Serve(listener)) }()
	for ; number > 0; number-- {
		client := &http.Client{Transport: &http.Transport{}, Timeout: 5 * time.Second}
		go poll(ctx, client, "http://"+listener.Addr().String())
	}
}

func poll(ctx context.Context, client *http.Client, url string) {
	for {
		if response, err := client.Get(url); err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}
		if !sleep(ctx, 2*time.Second) {
			return
		}
	}
}

func lockedToThread(ctx context.Context) {
	runtime.LockOSThread()
	<-ctx.Done()
}

// fluctuate keeps a number of requests at work that goes up and down at random around the mean. Each waits for its
// answer on a channel, as a leak does; what tells them apart is that other goroutines wait each time.
func fluctuate(ctx context.Context, mean int) {
	source := rand.New(rand.NewSource(1))
	var group sync.WaitGroup
	defer group.Wait()
	for sleep(ctx, time.Duration(1+source.Intn(2*2000/mean))*time.Millisecond) {
		group.Add(1)
		go func(wait time.Duration) {
			defer group.Done()
			awaitAnswer(wait)
		}(time.Duration(source.Intn(4000)) * time.Millisecond)
	}
}

func awaitAnswer(wait time.Duration) {
	answer := make(chan int)
	timer := time.AfterFunc(wait, func() { answer <- 1 })
	defer timer.Stop()
	<-answer
}

// Park starts goroutines that wait until the process ends, at some depth as a real one has.
func Park(ctx context.Context, number int) {
	for ; number > 0; number-- {
		go park(ctx.Done(), 6)
	}
}

//go:noinline
func park(done <-chan struct{}, depth int) int {
	if depth > 0 {
		return park(done, depth-1) + 1
	}
	<-done
	return 0
}
