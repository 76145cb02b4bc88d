package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"expvar"
	"math/big"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"
)

func addPprof(mux *http.ServeMux, auth string) {
	mux.Handle("/debug/pprof/", guarded(http.HandlerFunc(pprof.Index), auth))
	mux.Handle("/debug/pprof/cmdline", guarded(http.HandlerFunc(pprof.Cmdline), auth))
	mux.Handle("/debug/pprof/profile", guarded(http.HandlerFunc(pprof.Profile), auth))
	mux.Handle("/debug/pprof/symbol", guarded(http.HandlerFunc(pprof.Symbol), auth))
	mux.Handle("/debug/pprof/trace", guarded(http.HandlerFunc(pprof.Trace), auth))
}

func addExpvar(mux *http.ServeMux, auth string) {
	mux.Handle("/debug/vars", guarded(expvar.Handler(), auth))
}

// guarded asks for auth ("user:password") first; an empty auth asks for nothing.
func guarded(next http.Handler, auth string) http.Handler {
	if auth == "" {
		return next
	}
	wantUser, wantPassword, _ := strings.Cut(auth, ":")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		sameUser := subtle.ConstantTimeCompare([]byte(user), []byte(wantUser)) == 1
		samePassword := subtle.ConstantTimeCompare([]byte(password), []byte(wantPassword)) == 1
		if !sameUser || !samePassword {
			w.Header().Set("WWW-Authenticate", `Basic realm="debug"`)
			http.Error(w, "unauthorized", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// selfSigned makes a certificate for the loopback names, valid for a day.
func selfSigned() (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "labsvc"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, nil
}
