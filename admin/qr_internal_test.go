package admin

import (
	"strings"
	"testing"
)

// A QR code has its three finders, whose corners are dark and whose second ring is light.
func TestQRCode(t *testing.T) {
	t.Parallel()
	code, err := newQRCode("otpauth://totp/tenancy:ada@example.com?secret=JBSWY3DPEHPK3PXP&issuer=tenancy")
	if err != nil {
		t.Fatal(err)
	}
	if code.Size < 21 || (code.Size-17)%4 != 0 {
		t.Errorf("got %d modules, want 17 and a multiple of 4", code.Size)
	}
	last := code.Size - 1
	for _, dark := range [][2]int{{0, 0}, {6, 6}, {last, 0}, {0, last}, {3, 3}} {
		if !strings.Contains(code.Path, module(dark[0], dark[1])) {
			t.Errorf("module %v is light, want dark", dark)
		}
	}
	for _, light := range [][2]int{{1, 1}, {7, 0}, {last - 1, 1}} {
		if strings.Contains(code.Path, module(light[0], light[1])) {
			t.Errorf("module %v is dark, want light", light)
		}
	}
	if _, err := newQRCode(strings.Repeat("x", 10_000)); err == nil {
		t.Error("10,000 characters: got no error")
	}
}
