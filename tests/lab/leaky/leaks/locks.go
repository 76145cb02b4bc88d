package leaks

import "sync"

func init() {
	register("mutex", true, leakMutexNeverUnlocked, healthyMutex, own("lock"))
	register("rwmutex", true, leakRWMutexReaderStays, healthyRWMutex, own("lock"))
	register("rwmutex-read", true, leakRWMutexWriterStays, healthyRWMutexRead, own("lock"))
	register("wait-group", true, leakWaitGroupNeverDone, healthyWaitGroup, own("wait_group"))
	register("cond", true, leakCondNeverSignalled, healthyCond, own("cond"))
	register("two-locks", true, leakTwoLocks, healthyTwoLocks, own("lock"), own("lock"))
}

// leakMutexNeverUnlocked: an early return without Unlock.
func leakMutexNeverUnlocked(w *Way) {
	mutex := new(sync.Mutex)
	mutex.Lock()
	go lockOnce(w, mutex)
}

func healthyMutex(w *Way) {
	mutex := new(sync.Mutex)
	mutex.Lock()
	defer mutex.Unlock()
	go lockOnce(w, mutex)
	work()
}

func lockOnce(w *Way, mutex *sync.Mutex) {
	defer w.done(0)
	w.blocks(0)
	mutex.Lock()
	defer mutex.Unlock()
}

// leakRWMutexReaderStays: a reader keeps its lock, and the writer waits.
func leakRWMutexReaderStays(w *Way) {
	mutex := new(sync.RWMutex)
	mutex.RLock()
	go writeLocked(w, mutex)
}

func healthyRWMutex(w *Way) {
	mutex := new(sync.RWMutex)
	mutex.RLock()
	defer mutex.RUnlock()
	go writeLocked(w, mutex)
	work()
}

func writeLocked(w *Way, mutex *sync.RWMutex) {
	defer w.done(0)
	w.blocks(0)
	mutex.Lock()
	defer mutex.Unlock()
}

// leakRWMutexWriterStays: a writer keeps its lock, and the reader waits.
func leakRWMutexWriterStays(w *Way) {
	mutex := new(sync.RWMutex)
	mutex.Lock()
	go readLocked(w, mutex)
}

func healthyRWMutexRead(w *Way) {
	mutex := new(sync.RWMutex)
	mutex.Lock()
	defer mutex.Unlock()
	go readLocked(w, mutex)
	work()
}

func readLocked(w *Way, mutex *sync.RWMutex) {
	defer w.done(0)
	w.blocks(0)
	mutex.RLock()
	defer mutex.RUnlock()
}

// leakWaitGroupNeverDone: Add(2), and one Done.
func leakWaitGroupNeverDone(w *Way) {
	group := new(sync.WaitGroup)
	group.Add(2)
	go group.Done()
	go waitForGroup(w, group)
}

func healthyWaitGroup(w *Way) {
	group := new(sync.WaitGroup)
	group.Add(2)
	go group.Done()
	go waitForGroup(w, group)
	work()
	group.Done()
}

func waitForGroup(w *Way, group *sync.WaitGroup) {
	defer w.done(0)
	w.blocks(0)
	group.Wait()
}

// leakCondNeverSignalled: the state never changes and nobody calls Signal.
func leakCondNeverSignalled(w *Way) {
	ready := false
	go waitForSignal(w, sync.NewCond(new(sync.Mutex)), &ready)
}

func healthyCond(w *Way) {
	ready, cond := false, sync.NewCond(new(sync.Mutex))
	go waitForSignal(w, cond, &ready)
	work()
	cond.L.Lock()
	ready = true
	cond.L.Unlock()
	cond.Broadcast()
}

func waitForSignal(w *Way, cond *sync.Cond, ready *bool) {
	defer w.done(0)
	cond.L.Lock()
	defer cond.L.Unlock()
	for !*ready {
		w.blocks(0)
		cond.Wait()
	}
}

// leakTwoLocks: two goroutines, two locks, opposite order. Each call leaks both.
func leakTwoLocks(w *Way) {
	first, second := new(sync.Mutex), new(sync.Mutex)
	var both sync.WaitGroup
	both.Add(2)
	go lockFirstThenSecond(w, first, second, &both)
	go lockSecondThenFirst(w, first, second, &both)
}

func lockFirstThenSecond(w *Way, first, second *sync.Mutex, both *sync.WaitGroup) {
	defer w.done(0)
	first.Lock()
	defer first.Unlock()
	both.Done()
	both.Wait()
	w.blocks(0)
	second.Lock()
	defer second.Unlock()
}

func lockSecondThenFirst(w *Way, first, second *sync.Mutex, both *sync.WaitGroup) {
	defer w.done(1)
	second.Lock()
	defer second.Unlock()
	both.Done()
	both.Wait()
	w.blocks(1)
	first.Lock()
	defer first.Unlock()
}

// healthyTwoLocks: everybody takes them in the same order.
func healthyTwoLocks(w *Way) {
	first, second := new(sync.Mutex), new(sync.Mutex)
	for number := 0; number < 2; number++ {
		go func(number int) {
			defer w.done(number)
			w.blocks(number)
			first.Lock()
			defer first.Unlock()
			second.Lock()
			defer second.Unlock()
			work()
		}(number)
	}
}
