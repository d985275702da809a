// Package uitest tries the console's page in a real browser: Debian's Chromium, headless, against the real
// program examples/admin. It is a module of its own, so that nobody downloads the browser's driver who uses the library.
package uitest
