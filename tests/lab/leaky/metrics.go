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
	"strconv"
	"time"
)

// writeMetrics writes what prometheus/client_golang's collectors show of the runtime, by hand: the program uses
// the standard library only.
func writeMetrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	pauses := debug.GCStats{PauseQuantiles: make([]time.Duration, 5)}
	debug.ReadGCStats(&pauses)
	fmt.Fprint(w, "# HELP go_gc_duration_seconds A summary of the wall-time pause (stop-the-world) duration in garbage collection cycles.\n"+
		"# TYPE go_gc_duration_seconds summary\n")
	for index, quantile := range []string{"0", "0.25", "0.5", "0.75", "1"} {
		fmt.Fprintf(w, "go_gc_duration_seconds{quantile=%q} %v\n", quantile, pauses.PauseQuantiles[index].Seconds())
	}
	fmt.Fprintf(w, "go_gc_duration_seconds_sum %v\ngo_gc_duration_seconds_count %d\n", pauses.PauseTotal.Seconds(), pauses.NumGC)
	samples := []metrics.Sample{{Name: "/gc/pauses:seconds"}, {Name: "/sched/latencies:seconds"}, {Name: "/gc/gomemlimit:bytes"}, {Name: "/gc/gogc:percent"}}
	metrics.Read(samples)
	histogram(w, "go_gc_pauses_seconds", samples[0])
	histogram(w, "go_sched_latencies_seconds", samples[1])
	for index, name := range []string{"go_gc_gomemlimit_bytes", "go_gc_gogc_percent"} {
		if value := samples[index+2].Value; value.Kind() == metrics.KindUint64 {
			gauge(w, name, float64(value.Uint64()))
		}
	}
	threads, _ := runtime.ThreadCreateProfile(nil)
	gauge(w, "go_goroutines", float64(runtime.NumGoroutine()))
	gauge(w, "go_threads", float64(threads))
	gauge(w, "go_memstats_heap_alloc_bytes", float64(memory.HeapAlloc))
	gauge(w, "go_memstats_heap_inuse_bytes", float64(memory.HeapInuse))
	gauge(w, "go_memstats_heap_idle_bytes", float64(memory.HeapIdle))
	gauge(w, "go_memstats_heap_released_bytes", float64(memory.HeapReleased))
	gauge(w, "go_memstats_heap_objects", float64(memory.HeapObjects))
	gauge(w, "go_memstats_next_gc_bytes", float64(memory.NextGC))
	gauge(w, "go_memstats_sys_bytes", float64(memory.Sys))
	gauge(w, "go_memstats_last_gc_time_seconds", float64(memory.LastGC)/1e9)
	fmt.Fprintf(w, "# TYPE go_memstats_alloc_bytes_total counter\ngo_memstats_alloc_bytes_total %v\n", float64(memory.TotalAlloc))
	fmt.Fprintf(w, "# TYPE go_info gauge\ngo_info{version=%q} 1\n", runtime.Version())
	if files, err := os.ReadDir("/proc/self/fd"); err == nil {
		gauge(w, "process_open_fds", float64(len(files)))
	}
}

func gauge(w io.Writer, name string, value float64) {
	fmt.Fprintf(w, "# TYPE %s gauge\n%s %v\n", name, name, value)
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
