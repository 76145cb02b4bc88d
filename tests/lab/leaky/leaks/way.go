// Package leaks has one function for every way in which a goroutine is left behind, and its healthy twin, which
// does the same work at the same rate and gives the goroutine back.
package leaks

import (
	"runtime"
	"sort"
	"sync"
	"time"
)

// Way is one way to leak.
type Way struct {
	Name string
	// Profiled tells whether the runtime's goroutineleak profile can know of it: not what waits for a timer or
	// the network, and not what a global still reaches.
	Profiled bool
	// Limit is the most calls of one process: what costs descriptors has a low one.
	Limit   int
	sites   []*site
	leak    func(*Way)
	healthy func(*Way)
	mutex   sync.Mutex
	started int
}

// site is a place where goroutines of one way block.
type site struct {
	class    string
	origin   string
	function string
	file     string
	line     int
	alive    int
}

// Site is a site as /truth tells it.
type Site struct {
	Function string `json:"function"`
	File     string `json:"file"`
	Line     int    `json:"line,omitempty"` // 0: a line of the standard library, which differs between releases
	Class    string `json:"class"`
	Origin   string `json:"origin"`
	Leaked   int    `json:"leaked"`
}

// Truth is what is known about a way: the first of its sites, and all of them.
type Truth struct {
	Site
	Started  int    `json:"started"` // calls of the leaking function or of its twin
	Twin     bool   `json:"twin"`
	Profiled bool   `json:"profiled"`
	Sites    []Site `json:"sites"`
}

// Step leaks once, or does the same work and gives it back.
func (w *Way) Step(twin bool) {
	w.mutex.Lock()
	w.started++
	w.mutex.Unlock()
	if twin {
		w.healthy(w)
	} else {
		w.leak(w)
	}
}

// Truth tells what has leaked up to now. Of a twin nothing ever has: what is alive is at work.
func (w *Way) Truth(twin bool) Truth {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	truth := Truth{Started: w.started, Twin: twin, Profiled: w.Profiled}
	for _, s := range w.sites {
		leaked := s.alive
		if twin {
			leaked = 0
		}
		truth.Sites = append(truth.Sites, Site{s.function, s.file, s.line, s.class, s.origin, leaked})
	}
	truth.Site = truth.Sites[0]
	return truth
}

// blocks counts a goroutine that blocks at the next line of the caller.
func (w *Way) blocks(number int) {
	counter, file, line, _ := runtime.Caller(1)
	frame, _ := runtime.CallersFrames([]uintptr{counter + 1}).Next()
	w.mutex.Lock()
	defer w.mutex.Unlock()
	s := w.sites[number]
	s.alive++
	if s.function == "" {
		s.function, s.file, s.line = frame.Function, file, line+1
	}
}

// done counts a goroutine that has come back.
func (w *Way) done(number int) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.sites[number].alive--
}

// own is a site in this package: its function and line are noted when the first goroutine comes there.
func own(class string) *site {
	return &site{class: class, origin: "own"}
}

var ways = map[string]*Way{}

func register(name string, profiled bool, leak, healthy func(*Way), sites ...*site) {
	ways[name] = &Way{Name: name, Profiled: profiled, Limit: 100_000, sites: sites, leak: leak, healthy: healthy}
}

// limited is register for what costs two or more descriptors a call.
func limited(name string, profiled bool, leak, healthy func(*Way), sites ...*site) {
	register(name, profiled, leak, healthy, sites...)
	ways[name].Limit = 400
}

// Named returns a way, or nil.
func Named(name string) *Way {
	return ways[name]
}

// Names are those of all ways, sorted.
func Names() []string {
	var names []string
	for name := range ways {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// work is what every goroutine does before it waits: some milliseconds, so that healthy ones overlap.
func work() int {
	time.Sleep(5 * time.Millisecond)
	return 42
}
