package leaks

import (
	"context"
	"runtime/pprof"
	"sync"
	"time"
)

func init() {
	register("unbuffered-send", true, leakUnbufferedSend, healthyBufferedSend, own("chan_send"))
	register("receive", true, leakReceiveWithoutSender, healthyReceive, own("chan_receive"))
	register("nil-channel", true, leakNilChannel, healthyReceive, own("chan_receive"))
	register("nil-send", true, leakNilChannelSend, healthyBufferedSend, own("chan_send"))
	register("select", true, leakSelectWithoutCancel, healthySelect, own("select"))
	register("empty-select", true, leakEmptySelect, healthyReceive, own("select"))
	register("context", true, leakContextNeverCancelled, healthyContext, own("chan_receive"))
	register("ticker", false, leakForgottenTicker, healthyTicker, own("chan_receive"))
	register("worker-pool", true, leakWorkerPool, healthyWorkerPool, own("chan_receive"))
	register("range", true, leakRangeNeverClosed, healthyRange, own("chan_receive"))
	register("global", false, leakReachableFromGlobal, healthyGlobal, own("chan_receive"))
	register("method", true, leakInMethod, healthyMethod, own("chan_send"))
	register("generic", true, leakGeneric[string], healthyReceive, own("chan_receive"))
	register("labelled", true, leakLabelled, healthyReceive, own("chan_receive"))
	register("deep-stack", true, leakDeepStack, healthyReceive, own("chan_receive"))
}

// leakUnbufferedSend: the caller gave up (a timeout), and nobody takes the result any more.
func leakUnbufferedSend(w *Way) {
	result := make(chan int)
	go func() {
		defer w.done(0)
		answer := work()
		w.blocks(0)
		result <- answer
	}()
}

// healthyBufferedSend: there is room for the result, taken or not.
func healthyBufferedSend(w *Way) {
	result := make(chan int, 1)
	go func() {
		defer w.done(0)
		answer := work()
		w.blocks(0)
		result <- answer
	}()
}

func leakReceiveWithoutSender(w *Way) {
	answers := make(chan int)
	go func() {
		defer w.done(0)
		work()
		w.blocks(0)
		<-answers
	}()
}

func healthyReceive(w *Way) {
	answers := make(chan int, 1)
	go func() {
		defer w.done(0)
		work()
		w.blocks(0)
		<-answers
	}()
	answers <- work()
}

// leakNilChannel: declared, never made.
func leakNilChannel(w *Way) {
	var answers chan int
	go func() {
		defer w.done(0)
		work()
		w.blocks(0)
		<-answers
	}()
}

func leakNilChannelSend(w *Way) {
	var answers chan int
	go func() {
		defer w.done(0)
		answer := work()
		w.blocks(0)
		answers <- answer
	}()
}

// leakSelectWithoutCancel: two sources, both silent, and no case that ends it.
func leakSelectWithoutCancel(w *Way) {
	events, updates := make(chan int), make(chan string)
	go selectWithoutCancel(w, events, updates)
}

func selectWithoutCancel(w *Way, events chan int, updates chan string) {
	defer w.done(0)
	work()
	w.blocks(0)
	select {
	case <-events:
	case <-updates:
	}
}

func healthySelect(w *Way) {
	events, stop := make(chan int), make(chan struct{})
	go func() {
		defer w.done(0)
		work()
		w.blocks(0)
		select {
		case <-events:
		case <-stop:
		}
	}()
	close(stop)
}

func leakEmptySelect(w *Way) {
	go func() {
		defer w.done(0)
		work()
		w.blocks(0)
		select {}
	}()
}

// leakContextNeverCancelled: the cancel function is dropped.
func leakContextNeverCancelled(w *Way) {
	ctx, _ := context.WithCancel(context.Background()) //nolint:govet // that is the leak
	go untilCancelled(ctx, w)
}

func healthyContext(w *Way) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go untilCancelled(ctx, w)
	work()
}

func untilCancelled(ctx context.Context, w *Way) {
	defer w.done(0)
	w.blocks(0)
	<-ctx.Done()
}

// leakForgottenTicker: a loop per call that nothing ends.
func leakForgottenTicker(w *Way) {
	ticker := time.NewTicker(200 * time.Millisecond)
	go func() {
		defer w.done(0)
		w.blocks(0)
		for range ticker.C {
			_ = len(w.Name)
		}
	}()
}

func healthyTicker(w *Way) {
	ticker, stop := time.NewTicker(10*time.Millisecond), time.After(25*time.Millisecond)
	go func() {
		defer w.done(0)
		defer ticker.Stop()
		w.blocks(0)
		for {
			select {
			case <-ticker.C:
			case <-stop:
				return
			}
		}
	}()
}

// leakWorkerPool: three workers for one batch; the batch ends, the workers stay.
func leakWorkerPool(w *Way) {
	jobs := batch(w)
	for job := 0; job < 6; job++ {
		jobs <- job
	}
}

func healthyWorkerPool(w *Way) {
	jobs := batch(w)
	defer close(jobs)
	for job := 0; job < 6; job++ {
		jobs <- job
	}
}

func batch(w *Way) chan int {
	jobs := make(chan int)
	for worker := 0; worker < 3; worker++ {
		go poolWorker(w, jobs)
	}
	return jobs
}

func poolWorker(w *Way, jobs <-chan int) {
	defer w.done(0)
	w.blocks(0)
	for range jobs {
		work()
	}
}

// leakRangeNeverClosed: the producer forgets to close.
func leakRangeNeverClosed(w *Way) {
	rows := make(chan int)
	go produce(rows, false)
	go consume(w, rows)
}

func healthyRange(w *Way) {
	rows := make(chan int)
	go produce(rows, true)
	go consume(w, rows)
}

func produce(rows chan<- int, finish bool) {
	for row := 0; row < 3; row++ {
		rows <- row
	}
	if finish {
		close(rows)
	}
}

func consume(w *Way, rows <-chan int) {
	defer w.done(0)
	w.blocks(0)
	for range rows {
		work()
	}
}

// subscribers is the global that still reaches the channels: the runtime's leak profile misses them.
var subscribers struct {
	sync.Mutex
	all []chan int
}

func leakReachableFromGlobal(w *Way) {
	channel := make(chan int)
	subscribers.Lock()
	subscribers.all = append(subscribers.all, channel)
	subscribers.Unlock()
	go subscriber(w, channel)
}

func healthyGlobal(w *Way) {
	channel := make(chan int, 1)
	subscribers.Lock()
	subscribers.all = append(subscribers.all, channel)
	subscribers.Unlock()
	go subscriber(w, channel)
	work()
	subscribers.Lock()
	defer subscribers.Unlock()
	for index, other := range subscribers.all {
		if other == channel {
			last := len(subscribers.all) - 1
			subscribers.all[index] = subscribers.all[last]
			subscribers.all[last] = nil
			subscribers.all = subscribers.all[:last]
			break
		}
	}
	channel <- 1
}

func subscriber(w *Way, channel <-chan int) {
	defer w.done(0)
	w.blocks(0)
	<-channel
}

// broker shows names of methods: leaks.(*broker).publishWithoutReader.
type broker struct {
	way *Way
	out chan int
}

func leakInMethod(w *Way) {
	b := &broker{w, make(chan int)}
	go b.publishWithoutReader()
}

func healthyMethod(w *Way) {
	b := &broker{w, make(chan int)}
	go b.publishWithoutReader()
	<-b.out
}

func (b *broker) publishWithoutReader() {
	defer b.way.done(0)
	answer := work()
	b.way.blocks(0)
	b.out <- answer
}

// leakGeneric shows names with type arguments: leaks.awaitGeneric[...].
func leakGeneric[T any](w *Way) {
	go awaitGeneric(w, make(chan T))
}

func awaitGeneric[T any](w *Way, answers chan T) {
	defer w.done(0)
	w.blocks(0)
	<-answers
}

// leakLabelled: every goroutine has a label of its own, and yet they are one group.
func leakLabelled(w *Way) {
	labels := pprof.Labels("request", time.Now().Format("05.000000"), "tenant", "a \"b\" {c}")
	answers := make(chan int)
	pprof.Do(context.Background(), labels, func(context.Context) {
		go awaitLabelled(w, answers)
	})
}

func awaitLabelled(w *Way, answers chan int) {
	defer w.done(0)
	w.blocks(0)
	<-answers
}

// leakDeepStack: deeper than the 100 frames of a traceback and the 128 of a profile.
func leakDeepStack(w *Way) {
	answers := make(chan int)
	go func() {
		defer w.done(0)
		descend(w, answers, 150)
	}()
}

//go:noinline
func descend(w *Way, answers chan int, depth int) int {
	if depth > 0 {
		return descend(w, answers, depth-1) + 1
	}
	w.blocks(0)
	return <-answers
}
