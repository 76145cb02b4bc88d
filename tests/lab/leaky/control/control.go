// Package control drives the ways at exact rates and says what has leaked.
package control

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"example.test/leaky/leaks"
	"example.test/leaky/memory"
)

// Driver calls ways at their rates. A way is either the leak or its twin for the life of the process.
type Driver struct {
	Twin    bool
	mutex   sync.Mutex
	running map[string]chan struct{}
	used    map[string]bool
}

// Names are those of all ways.
func Names() []string {
	names := append(leaks.Names(), memory.Names()...)
	sort.Strings(names)
	return names
}

// Start begins a way: rate a second, count times (0: until stopped). rate 0 is all at once.
func (d *Driver) Start(name string, rate float64, count int) error {
	goroutines, bytes := leaks.Named(name), memory.Named(name)
	var step func(bool)
	limit := 1 << 30
	switch {
	case goroutines != nil:
		step, limit = goroutines.Step, goroutines.Limit
	case bytes != nil:
		step = bytes.Step
	default:
		return fmt.Errorf("no way %q; there are: %s", name, strings.Join(Names(), ", "))
	}
	if rate < 0 || rate > 10_000 || (rate == 0 && count == 0 && goroutines != nil) {
		return fmt.Errorf("rate %v, count %d: a rate up to 10,000/s, or a count", rate, count)
	}
	if count == 0 || (count > limit && !d.Twin) {
		count = limit
	}
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if d.running == nil {
		d.running, d.used = map[string]chan struct{}{}, map[string]bool{}
	}
	if _, is := d.running[name]; is {
		return fmt.Errorf("%s is running", name)
	}
	stop := make(chan struct{})
	d.running[name] = stop
	first := !d.used[name]
	d.used[name] = true
	go d.drive(step, rate, count, stop)
	if first && bytes != nil {
		bytes.Begin(d.Twin)
	}
	return nil
}

// drive keeps to the times that the rate gives: a step that came late does not make the next one late.
func (d *Driver) drive(step func(bool), rate float64, count int, stop <-chan struct{}) {
	if rate == 0 {
		for ; count > 0 && count < 1<<30; count-- {
			step(d.Twin)
		}
		return
	}
	begin := time.Now()
	for number := 1; number <= count; number++ {
		due := begin.Add(time.Duration(float64(number) / rate * float64(time.Second)))
		timer := time.NewTimer(time.Until(due))
		select {
		case <-timer.C:
			step(d.Twin)
		case <-stop:
			timer.Stop()
			return
		}
	}
}

// Stop ends the driving of a way, or of all; what has leaked stays.
func (d *Driver) Stop(name string) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	for running, stop := range d.running {
		if name == "" || name == running {
			close(stop)
			delete(d.running, running)
		}
	}
}

// Truth is {way: what is known}, of the ways that were ever started.
func (d *Driver) Truth() map[string]any {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	truth := map[string]any{}
	for name := range d.used {
		if way := leaks.Named(name); way != nil {
			truth[name] = way.Truth(d.Twin)
		} else {
			truth[name] = memory.Named(name).Truth(d.Twin)
		}
	}
	return truth
}

// Add registers POST /leak?way=NAME&rate=R&count=N, POST /stop[?way=NAME], GET /truth and GET /ways.
func (d *Driver) Add(mux *http.ServeMux) {
	mux.HandleFunc("/leak", posted(func(w http.ResponseWriter, r *http.Request) {
		rate, err := number(r, "rate")
		count, err2 := number(r, "count")
		if err != nil || err2 != nil {
			http.Error(w, "rate and count are numbers", http.StatusBadRequest)
			return
		}
		for _, name := range strings.Split(r.FormValue("way"), ",") {
			if err := d.Start(name, rate, int(count)); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
		}
		fmt.Fprintln(w, "ok")
	}))
	mux.HandleFunc("/stop", posted(func(w http.ResponseWriter, r *http.Request) {
		d.Stop(r.FormValue("way"))
		fmt.Fprintln(w, "ok")
	}))
	mux.HandleFunc("/truth", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, d.Truth())
	})
	mux.HandleFunc("/ways", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string][]string{"goroutines": leaks.Names(), "memory": memory.Names()})
	})
}

func number(r *http.Request, name string) (float64, error) {
	text := r.FormValue(name)
	if text == "" {
		return 0, nil
	}
	return strconv.ParseFloat(text, 64)
}

func posted(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			http.Error(w, "POST only", http.StatusMethodNotAllowed)
			return
		}
		next(w, r)
	}
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(value)
}
