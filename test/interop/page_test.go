package interop

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPages opens the pages that people see in a browser, on a phone and on a desk, in
// light and in dark, and pays a checkout there with the keyboard.
func TestPages(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("notice: chromium is missing, so no page is looked at")
	}
	needNode(t)
	s := startShop(t, "https://agent.example/profile.json")
	// A checkout as an agent's link makes it: a person follows it to its page.
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.public+"/shop/buy/report:2,week:1", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	where, err := resp.Location()
	if err != nil {
		t.Fatalf("%s leads nowhere: %d %v", req.URL, resp.StatusCode, err)
	}
	folder := os.Getenv("PAGE_PICTURES") // to look at them
	if folder == "" {
		folder = t.TempDir()
	}
	wanted, err := json.Marshal(map[string]string{"checkout": where.String(), "priced": s.public + "/v1/reports/7", "folder": folder})
	if err != nil {
		t.Fatal(err)
	}
	modules, err := filepath.Abs("node_modules")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), newerNode(modules), "page.mjs", browser, string(wanted))
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	var seen struct {
		Complaints, Foreign []string
		Pages               map[string]struct {
			Status, Overflow, Scripts int
			Title, Lang, Text         string
			Contrast, Button          float64
		}
	}
	if err := json.Unmarshal(out, &seen); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if len(seen.Complaints) > 0 || len(seen.Foreign) > 0 {
		t.Errorf("the browser complains: %q, and went elsewhere: %q", seen.Complaints, seen.Foreign)
	}
	for name, says := range map[string]string{
		"checkout-390-light": "Ready to be paid", "checkout-390-dark": "30.00 USD", "checkout-1280-light": "Market report", "paid": "Bought", "order": "Your order",
		"priced-390-light": "1.00 USD", "priced-390-dark": "1.00 USD", "priced-1280-light": "1.00 USD",
	} {
		p, ok := seen.Pages[name]
		status := http.StatusOK
		if strings.HasPrefix(name, "priced") {
			status = http.StatusPaymentRequired
		}
		if !ok || p.Status != status || !strings.Contains(p.Text, says) {
			t.Errorf("%s: %d, without %q:\n%s", name, p.Status, says, p.Text)
			continue
		}
		if p.Overflow > 0 || p.Contrast < 4.5 || p.Scripts > 0 || p.Lang != "en" || p.Title == "" {
			t.Errorf("%s: %d pixels beside the screen, contrast %.2f, %d scripts, lang %q, title %q", name, p.Overflow, p.Contrast, p.Scripts, p.Lang, p.Title)
		}
		if strings.HasPrefix(name, "checkout") && p.Button < 44 {
			t.Errorf("%s: the button is %.0f pixels high", name, p.Button)
		}
	}
}
