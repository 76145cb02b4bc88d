// Copyright: goready.preflight contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Command kernel is a service with the faults that only the kernel sees: a queue that nobody accepts from, local ports that are all
// taken, and a server that waits for ever for a request.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

func certificate() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	data, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	check(err)
	return tls.Certificate{Certificate: [][]byte{data}, PrivateKey: key}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// stuck listens with a backlog of its own, which net.Listen does not offer, and never accepts.
func stuck(port, backlog int) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	check(err)
	check(syscall.Bind(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}))
	check(syscall.Listen(fd, backlog))
}

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "address of the server")
	header := flag.Duration("header", 0, "ReadHeaderTimeout")
	read := flag.Duration("read", 0, "ReadTimeout")
	secure := flag.Bool("tls", false, "serve TLS")
	stuckAt := flag.Int("stuck", 0, "port that is listened at and never accepted from")
	backlog := flag.Int("backlog", 1, "its backlog")
	hold := flag.String("hold", "", "address to which connections are made and kept")
	count := flag.Int("count", 0, "how many, at most")
	closed := flag.Bool("closed", false, "close them again: they stay in TIME-WAIT")
	from := flag.Int("from", 0, "local port of the first one, and so on; 0: the kernel's choice")
	flag.Parse()
	if *stuckAt != 0 {
		stuck(*stuckAt, *backlog)
	}
	server := &http.Server{ReadHeaderTimeout: *header, ReadTimeout: *read, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprintln(w, "ok")
	})}
	listener, err := net.Listen("tcp", *listen)
	check(err)
	if *secure {
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{certificate()}})
	}
	var kept []net.Conn
	if *hold != "" {
		go func() {
			for len(kept) < *count {
				dialer := net.Dialer{Timeout: time.Second}
				if *from != 0 {
					dialer.LocalAddr = &net.TCPAddr{Port: *from + len(kept)}
				}
				one, err := dialer.Dial("tcp", *hold)
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					time.Sleep(100 * time.Millisecond)
					continue
				}
				kept = append(kept, one)
				if *closed {
					_ = one.Close()
				}
			}
		}()
	}
	check(server.Serve(listener))
}
