package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
)

// TestThePictureIsOfItsRun: docs/fleet.svg is what the run in fleet.csv looks like.
func TestThePictureIsOfItsRun(t *testing.T) {
	data, err := os.Open("fleet.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	r, err := read(data)
	if err != nil {
		t.Fatal(err)
	}
	var svg bytes.Buffer
	if err := r.draw(&svg); err != nil {
		t.Fatal(err)
	}
	shown, err := os.ReadFile("../../../docs/fleet.svg")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(svg.Bytes(), shown) {
		t.Error("docs/fleet.svg is another picture; see the command in main.go")
	}
	for tokens := xml.NewDecoder(&svg); ; {
		if _, err := tokens.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{">worker-4<", ">nobody<", ">worker-4 joins<", ">SIGKILL<", ">SIGTERM<"} {
		if !strings.Contains(string(shown), want) {
			t.Error("no", want)
		}
	}
}

func TestOtherInputIsRefused(t *testing.T) {
	for _, in := range []string{"", "seconds,a,nobody,scene\n", "seconds,a,nobody,scene\n1,x,2,\n", "a,b\n1\n"} {
		if _, err := read(strings.NewReader(in)); err == nil {
			t.Errorf("%q: no error", in)
		}
	}
}
