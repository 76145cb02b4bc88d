// Package memory has one function for every way in which memory, the garbage collector or a lock becomes
// expensive, and its twin that does the same work cheaply.
package memory

import (
	"runtime/debug"
	"sync"
	"time"
)

// Most is what all ways together keep at the most: a test never takes the machine's memory.
const Most = 512 << 20

// Way is one way to be expensive. Step is called at the rate asked for; Request by every request for /work.
type Way struct {
	Name     string
	Function string
	Class    string
	begin    func(twin bool)
	step     func(twin bool)
	mutex    sync.Mutex
	started  int
}

// Truth is what is known about a way.
type Truth struct {
	Function  string `json:"function"`
	Class     string `json:"class"`
	Started   int    `json:"started"`
	Leaked    int    `json:"leaked"` // goroutines: none
	Twin      bool   `json:"twin"`
	KeptBytes int    `json:"kept_bytes"`
}

var ways = map[string]*Way{}

func register(name, class, function string, begin, step func(bool)) {
	ways[name] = &Way{Name: name, Class: class, Function: "example.test/leaky/memory." + function, begin: begin, step: step}
}

func init() {
	register("heap-growth", "heap", "keepForever", nil, func(twin bool) {
		if twin {
			keepLastSixteen()
		} else {
			keepForever()
		}
	})
	register("heap-load", "heap", "keepOfRequest", nil, nil)
	register("big-heap", "heap", "keepAtStart", func(twin bool) {
		if !twin {
			keepAtStart()
		}
	}, nil)
	register("gc-pressure", "gc", "allocateMany", func(twin bool) {
		if !twin {
			debug.SetGCPercent(5)
		}
	}, func(twin bool) {
		if twin {
			allocateOnce()
		} else {
			allocateMany()
		}
	})
	register("hot-lock", "mutex", "holdHotLock", func(twin bool) {
		for number := 0; number < 8; number++ {
			if twin {
				go holdOwnLock()
			} else {
				go holdHotLock()
			}
		}
	}, nil)
	register("block", "block", "sendToSlowReader", func(twin bool) {
		jobs := make(chan int, map[bool]int{true: 64, false: 0}[twin])
		go readSlowly(jobs)
		for number := 0; number < 4; number++ {
			go sendToSlowReader(jobs)
		}
	}, nil)
}

// Named returns a way, or nil.
func Named(name string) *Way {
	return ways[name]
}

// Names are those of all ways.
func Names() []string {
	var names []string
	for name := range ways {
		names = append(names, name)
	}
	return names
}

// Begin does what a way does once.
func (w *Way) Begin(twin bool) {
	if w.Name == "heap-load" {
		requests.Lock()
		requests.on, requests.twin = true, twin
		requests.Unlock()
	}
	if w.begin != nil {
		w.begin(twin)
	}
}

// Step does what a way does at its rate.
func (w *Way) Step(twin bool) {
	w.mutex.Lock()
	w.started++
	w.mutex.Unlock()
	if w.step != nil {
		w.step(twin)
	}
}

// Truth tells what is kept up to now.
func (w *Way) Truth(twin bool) Truth {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	truth := Truth{Function: w.Function, Class: w.Class, Started: w.started, Twin: twin}
	kept.Lock()
	truth.KeptBytes = kept.bytes[w.Name]
	kept.Unlock()
	return truth
}

var kept = struct {
	sync.Mutex
	all   [][]byte
	last  [16][]byte
	next  int
	total int
	bytes map[string]int
}{bytes: map[string]int{}}

func keep(way string, block []byte) {
	kept.Lock()
	defer kept.Unlock()
	if kept.total+len(block) > Most {
		return
	}
	kept.all = append(kept.all, block)
	kept.total += len(block)
	kept.bytes[way] += len(block)
}

// touched writes to memory: the kernel gives pages only then. Who calls it allocates, so that profiles show that function.
func touched(data []byte) []byte {
	for at := 0; at < len(data); at += 512 {
		data[at] = 1
	}
	return data
}

// keepForever: a cache without bounds, 64 KiB a step.
func keepForever() {
	keep("heap-growth", touched(make([]byte, 64<<10)))
}

// keepLastSixteen: the same cache with bounds.
func keepLastSixteen() {
	data := touched(make([]byte, 64<<10))
	kept.Lock()
	defer kept.Unlock()
	kept.last[kept.next%len(kept.last)] = data
	kept.next++
}

// keepAtStart: 128 MiB that the program really needs.
func keepAtStart() {
	for number := 0; number < 128; number++ {
		keep("big-heap", touched(make([]byte, 1<<20)))
	}
}

var requests struct {
	sync.Mutex
	on, twin bool
}

// OfRequest is what a request for /work needs: given back with the answer, or kept (way heap-load).
func OfRequest(size int) (release func()) {
	requests.Lock()
	on, twin := requests.on, requests.twin
	requests.Unlock()
	if size <= 0 {
		size = 64 << 10
	}
	if on && !twin {
		keepOfRequest(size)
	}
	data := touched(make([]byte, size))
	return func() { data[0] = 0 }
}

// keepOfRequest: what a request needed stays after it.
func keepOfRequest(size int) {
	keep("heap-load", touched(make([]byte, size)))
}

type node struct {
	next *node
	text [3]string
}

var sink *node

// allocateMany: 2,000 small objects a step, all garbage at once.
func allocateMany() {
	var list *node
	for number := 0; number < 2000; number++ {
		list = &node{next: list}
	}
	sink = list
}

var reused [2000]node

// allocateOnce: the same list in the same memory.
func allocateOnce() {
	var list *node
	for number := range reused {
		reused[number].next = list
		list = &reused[number]
	}
	sink = list
}

var hot sync.Mutex

// holdHotLock: everybody needs the one lock for a millisecond.
func holdHotLock() {
	for {
		hot.Lock()
		time.Sleep(time.Millisecond)
		hot.Unlock()
	}
}

func holdOwnLock() {
	var own sync.Mutex
	for {
		own.Lock()
		time.Sleep(time.Millisecond)
		own.Unlock()
		time.Sleep(7 * time.Millisecond)
	}
}

func sendToSlowReader(jobs chan<- int) {
	for {
		jobs <- 1
		time.Sleep(time.Millisecond)
	}
}

func readSlowly(jobs <-chan int) {
	for range jobs {
		time.Sleep(time.Millisecond)
	}
}
