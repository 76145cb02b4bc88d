// Package debugserver serves /debug/pprof/ the way it should be, and in ways it should not be.
package debugserver

import (
	"compress/gzip"
	"crypto/subtle"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	rpprof "runtime/pprof"
	"strings"
	"sync"
	"time"
)

// Kinds are the ways to misbehave.
var Kinds = []string{"slow", "500", "html", "huge", "bomb", "garbage", "cut", "gone", "gone404", "cpu-busy"}

// Server is one pprof listener.
type Server struct {
	BasicAuth string // user:password
	Token     string
	mutex     sync.Mutex
	kind      string
	profiles  map[string]bool // empty: every profile, but not the index
	served    int
	listener  net.Listener
}

// Misbehave switches a kind on: "slow", "slow:heap,goroutine" or "slow:all" (the index too); "" switches it off.
func (s *Server) Misbehave(what string) error {
	kind, names, _ := strings.Cut(what, ":")
	known := kind == ""
	for _, name := range Kinds {
		known = known || name == kind
	}
	if !known {
		return fmt.Errorf("no way to misbehave %q; there are: %s", kind, strings.Join(Kinds, ", "))
	}
	profiles := map[string]bool{}
	for _, name := range strings.Split(names, ",") {
		if name != "" {
			profiles[name] = true
		}
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.kind == "cpu-busy" && kind != "cpu-busy" {
		rpprof.StopCPUProfile()
	}
	if kind == "cpu-busy" && s.kind != "cpu-busy" {
		if err := rpprof.StartCPUProfile(io.Discard); err != nil {
			return err
		}
	}
	s.kind, s.profiles, s.served = kind, profiles, 0
	return nil
}

// Listener tells the server which listener to close for the kind "gone".
func (s *Server) Listener(listener net.Listener) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.listener = listener
}

// Add registers everything below /debug/pprof/.
func (s *Server) Add(mux *http.ServeMux) {
	mux.Handle("/debug/pprof/", s.wrapped(pprof.Index))
	mux.Handle("/debug/pprof/cmdline", s.wrapped(pprof.Cmdline))
	mux.Handle("/debug/pprof/profile", s.wrapped(pprof.Profile))
	mux.Handle("/debug/pprof/symbol", s.wrapped(pprof.Symbol))
	mux.Handle("/debug/pprof/trace", s.wrapped(pprof.Trace))
}

func (s *Server) wrapped(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.allowed(r) {
			w.Header().Set("WWW-Authenticate", `Basic realm="debug"`)
			http.Error(w, "unauthorized", http.StatusUnauthorized)
			return
		}
		profile := strings.TrimPrefix(r.URL.Path, "/debug/pprof/")
		if kind := s.chosen(profile); kind == "" || !misbehave(w, r, kind) {
			next(w, r)
		}
	})
}

func (s *Server) allowed(r *http.Request) bool {
	if s.BasicAuth == "" && s.Token == "" {
		return true
	}
	if s.BasicAuth != "" {
		user, password, _ := r.BasicAuth()
		if same(user+":"+password, s.BasicAuth) {
			return true
		}
	}
	return s.Token != "" && same(r.Header.Get("Authorization"), "Bearer "+s.Token)
}

func same(given, wanted string) bool {
	return subtle.ConstantTimeCompare([]byte(given), []byte(wanted)) == 1
}

// chosen says how to misbehave for this profile; "" is not at all.
func (s *Server) chosen(profile string) string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	switch {
	case s.kind == "" || s.kind == "cpu-busy":
		return ""
	case s.profiles["all"]:
	case profile == "" || profile == "cmdline":
		return ""
	case len(s.profiles) > 0 && !s.profiles[profile]:
		return ""
	}
	s.served++
	switch s.kind {
	case "gone":
		if s.served == 1 {
			if s.listener != nil {
				s.listener.Close()
			}
			return "last"
		}
		return "cut"
	case "gone404":
		if s.served == 1 {
			return ""
		}
	}
	return s.kind
}

// misbehave answers, or returns false where the real handler shall.
func misbehave(w http.ResponseWriter, r *http.Request, kind string) bool {
	switch kind {
	case "slow":
		select {
		case <-time.After(30 * time.Second):
		case <-r.Context().Done():
			return true
		}
		return false
	case "last":
		w.Header().Set("Connection", "close")
		return false
	case "500":
		http.Error(w, "internal error", http.StatusInternalServerError)
	case "html":
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<!DOCTYPE html><html><head><title>Sign in</title></head><body><form></form></body></html>\n")
	case "huge":
		w.Header().Set("Content-Type", "application/octet-stream")
		block := make([]byte, 64<<10)
		for sent := 0; sent < 1<<30; sent += len(block) {
			if _, err := w.Write(block); err != nil {
				return true
			}
		}
	case "bomb":
		w.Header().Set("Content-Type", "application/octet-stream")
		packed := gzip.NewWriter(w)
		block := make([]byte, 64<<10)
		for sent := 0; sent < 1<<30; sent += len(block) { // 1 GiB of zeros in 1 MiB
			if _, err := packed.Write(block); err != nil {
				return true
			}
		}
		packed.Close()
	case "garbage":
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = io.WriteString(w, "\x1f\x8b\x08\x00"+strings.Repeat("\xff\x00garbage", 400))
	case "cut":
		if hijacker, can := w.(http.Hijacker); can {
			if connection, _, err := hijacker.Hijack(); err == nil {
				fmt.Fprint(connection, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 100000\r\n\r\n\x1f\x8b\x08")
				connection.Close()
			}
		}
	case "gone404":
		http.NotFound(w, r)
	default:
		fmt.Fprintln(os.Stderr, "leaky: no way to misbehave", kind)
	}
	return true
}
