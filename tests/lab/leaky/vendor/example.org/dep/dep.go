// Package dep stands for a library: a module that is not the main one.
package dep

// Watcher tells of events until it is closed.
type Watcher struct {
	events chan int
	closed chan struct{}
}

// NewWatcher starts the goroutine of a watcher. before is called in it, right before it waits.
func NewWatcher(before, after func()) *Watcher {
	w := &Watcher{events: make(chan int), closed: make(chan struct{})}
	go w.run(before, after)
	return w
}

func (w *Watcher) run(before, after func()) {
	defer after()
	before()
	select {
	case <-w.events:
	case <-w.closed:
	}
}

// Close ends the goroutine.
func (w *Watcher) Close() {
	close(w.closed)
}

// Await waits in the caller's goroutine for the answer to a call.
func Await(answer <-chan int) int {
	return receive(answer)
}

//go:noinline
func receive(answer <-chan int) int {
	return <-answer
}
