package admin

import (
	"fmt"
	"strings"

	"github.com/boombuler/barcode/qr"
)

// qrCode is a QR code as a path of SVG: a square of size by size modules, of which the path covers the dark ones.
type qrCode struct {
	Size int    `json:"size"`
	Path string `json:"path"`
}

// module is the part of a path that covers one module.
func module(x, y int) string { return fmt.Sprintf("M%d %dh1v1h-1z", x, y) }

// newQRCode encodes a text, which a camera reads from the page.
func newQRCode(text string) (qrCode, error) {
	code, err := qr.Encode(text, qr.M, qr.Unicode)
	if err != nil {
		return qrCode{}, fmt.Errorf("QR code: %w", err)
	}
	var path strings.Builder
	size := code.Bounds().Dx()
	for y := range size {
		for x := range size {
			if r, _, _, _ := code.At(x, y).RGBA(); r == 0 {
				path.WriteString(module(x, y))
			}
		}
	}
	return qrCode{size, path.String()}, nil
}
