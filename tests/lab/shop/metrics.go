package main

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sort"
	"strconv"
	"sync"
	"syscall"
	"time"
)

var begun = time.Now()

// bounds are client_golang's DefBuckets.
var bounds = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// durations is a histogram by handler and status.
type durations struct {
	lock sync.Mutex
	by   map[[2]string]*observed
}

type observed struct {
	buckets []uint64
	count   uint64
	sum     float64
}

func (d *durations) observe(handler, code string, seconds float64) {
	d.lock.Lock()
	defer d.lock.Unlock()
	if d.by == nil {
		d.by = map[[2]string]*observed{}
	}
	key := [2]string{handler, code}
	one := d.by[key]
	if one == nil {
		one = &observed{buckets: make([]uint64, len(bounds))}
		d.by[key] = one
	}
	for index, bound := range bounds {
		if seconds <= bound {
			one.buckets[index]++
		}
	}
	one.count++
	one.sum += seconds
}

func (d *durations) write(w io.Writer) {
	d.lock.Lock()
	defer d.lock.Unlock()
	fmt.Fprint(w, "# TYPE http_request_duration_seconds histogram\n")
	keys := make([][2]string, 0, len(d.by))
	for key := range d.by {
		keys = append(keys, key)
	}
	sort.Slice(keys, func(a, b int) bool { return fmt.Sprint(keys[a]) < fmt.Sprint(keys[b]) })
	for _, key := range keys {
		one := d.by[key]
		labels := fmt.Sprintf("code=%q,handler=%q,method=\"get\"", key[1], key[0])
		for index, bound := range bounds {
			fmt.Fprintf(w, "http_request_duration_seconds_bucket{%s,le=\"%v\"} %d\n", labels, bound, one.buckets[index])
		}
		fmt.Fprintf(w, "http_request_duration_seconds_bucket{%s,le=\"+Inf\"} %d\n", labels, one.count)
		fmt.Fprintf(w, "http_request_duration_seconds_sum{%s} %v\n", labels, one.sum)
		fmt.Fprintf(w, "http_request_duration_seconds_count{%s} %d\n", labels, one.count)
	}
}

// writeMetrics writes what client_golang's Go, process and DBStats collectors show, by hand.
func (s *shop) writeMetrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	s.requests.write(w)
	s.writePool(w)
	pauses := debug.GCStats{PauseQuantiles: make([]time.Duration, 5)}
	debug.ReadGCStats(&pauses)
	fmt.Fprint(w, "# TYPE go_gc_duration_seconds summary\n")
	for index, quantile := range []string{"0", "0.25", "0.5", "0.75", "1"} {
		fmt.Fprintf(w, "go_gc_duration_seconds{quantile=%q} %v\n", quantile, pauses.PauseQuantiles[index].Seconds())
	}
	fmt.Fprintf(w, "go_gc_duration_seconds_sum %v\ngo_gc_duration_seconds_count %d\n", pauses.PauseTotal.Seconds(), pauses.NumGC)
	samples := []metrics.Sample{
		{Name: "/gc/pauses:seconds"}, {Name: "/sched/latencies:seconds"}, {Name: "/sched/pauses/total/gc:seconds"},
		{Name: "/sync/mutex/wait/total:seconds"}, {Name: "/cpu/classes/gc/total:cpu-seconds"},
		{Name: "/cpu/classes/total:cpu-seconds"}, {Name: "/cpu/classes/idle:cpu-seconds"}, {Name: "/gc/cycles/total:gc-cycles"},
		{Name: "/sched/gomaxprocs:threads"}, {Name: "/cpu/classes/gc/mark/assist:cpu-seconds"},
	}
	metrics.Read(samples)
	histogram(w, "go_gc_pauses_seconds", samples[0])
	histogram(w, "go_sched_latencies_seconds", samples[1])
	histogram(w, "go_sched_pauses_total_gc_seconds", samples[2])
	for index, name := range []string{
		"go_sync_mutex_wait_total_seconds_total", "go_cpu_classes_gc_total_cpu_seconds_total",
		"go_cpu_classes_total_cpu_seconds_total", "go_cpu_classes_idle_cpu_seconds_total",
	} {
		if value := samples[index+3].Value; value.Kind() == metrics.KindFloat64 {
			number(w, name, "counter", "", value.Float64())
		}
	}
	if value := samples[9].Value; value.Kind() == metrics.KindFloat64 {
		number(w, "go_cpu_classes_gc_mark_assist_cpu_seconds_total", "counter", "", value.Float64())
	}
	if value := samples[7].Value; value.Kind() == metrics.KindUint64 {
		number(w, "go_gc_cycles_total_gc_cycles_total", "counter", "", float64(value.Uint64()))
	}
	if value := samples[8].Value; value.Kind() == metrics.KindUint64 {
		number(w, "go_sched_gomaxprocs_threads", "gauge", "", float64(value.Uint64()))
	}
	number(w, "go_goroutines", "gauge", "", float64(runtime.NumGoroutine()))
	threads, _ := runtime.ThreadCreateProfile(nil)
	number(w, "go_threads", "gauge", "", float64(threads))
	fmt.Fprintf(w, "# TYPE go_info gauge\ngo_info{version=%q} 1\n", runtime.Version())
	if open, err := os.ReadDir("/proc/self/fd"); err == nil {
		number(w, "process_open_fds", "gauge", "", float64(len(open)))
	}
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		number(w, "process_max_fds", "gauge", "", float64(limit.Cur))
	}
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) == nil {
		number(w, "process_cpu_seconds_total", "counter", "", time.Duration(usage.Utime.Nano()+usage.Stime.Nano()).Seconds())
	}
	number(w, "process_start_time_seconds", "gauge", "", float64(begun.UnixMilli())/1000)
}

// writePool writes collectors.NewDBStatsCollector(db, -db-name).
func (s *shop) writePool(w io.Writer) {
	if s.db == nil || *noDB {
		return
	}
	stats := s.db.Stats()
	label := fmt.Sprintf("{db_name=%q}", *dbName)
	for _, one := range []struct {
		name, kind string
		value      float64
	}{
		{"go_sql_idle_connections", "gauge", float64(stats.Idle)},
		{"go_sql_in_use_connections", "gauge", float64(stats.InUse)},
		{"go_sql_max_idle_closed_total", "counter", float64(stats.MaxIdleClosed)},
		{"go_sql_max_idle_time_closed_total", "counter", float64(stats.MaxIdleTimeClosed)},
		{"go_sql_max_lifetime_closed_total", "counter", float64(stats.MaxLifetimeClosed)},
		{"go_sql_max_open_connections", "gauge", float64(stats.MaxOpenConnections)},
		{"go_sql_open_connections", "gauge", float64(stats.OpenConnections)},
		{"go_sql_wait_count_total", "counter", float64(stats.WaitCount)},
		{"go_sql_wait_duration_seconds_total", "counter", stats.WaitDuration.Seconds()},
	} {
		number(w, one.name, one.kind, label, one.value)
	}
}

func number(w io.Writer, name, kind, labels string, value float64) {
	fmt.Fprintf(w, "# TYPE %s %s\n%s%s %v\n", name, kind, name, labels, value)
}

// histogram reduces the runtime's buckets as client_golang does for seconds: a bound for each tenfold, so that
// the page stays small. Its sum is an estimate from the middles, as the runtime has none.
func histogram(w io.Writer, name string, sample metrics.Sample) {
	if sample.Value.Kind() != metrics.KindFloat64Histogram {
		return
	}
	values := sample.Value.Float64Histogram()
	fmt.Fprintf(w, "# TYPE %s histogram\n", name)
	var total uint64
	var sum, last float64
	for index, count := range values.Counts {
		total += count
		low, high := values.Buckets[index], values.Buckets[index+1]
		if count > 0 && !math.IsInf(low, 0) && !math.IsInf(high, 0) {
			sum += float64(count) * (low + high) / 2
		}
		if !math.IsInf(high, 0) && high > 0 && (last == 0 || high >= 10*last) {
			last = high
			fmt.Fprintf(w, "%s_bucket{le=%q} %d\n", name, strconv.FormatFloat(high, 'g', -1, 64), total)
		}
	}
	fmt.Fprintf(w, "%s_bucket{le=\"+Inf\"} %d\n%s_sum %v\n%s_count %d\n", name, total, name, sum, name, total)
}
