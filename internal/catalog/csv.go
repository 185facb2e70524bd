package catalog

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"strings"

	"paywall/checkout"
	"paywall/internal/config"
)

// columns are the names of a CSV catalog's columns, and where their values go.
var columns = map[string]func(*productFile, *variantFile, string){
	"id":            func(_ *productFile, v *variantFile, s string) { v.ID = s },
	"title":         func(_ *productFile, v *variantFile, s string) { v.Title = s },
	"price":         func(_ *productFile, v *variantFile, s string) { v.Price = s },
	"description":   func(p *productFile, v *variantFile, s string) { p.Description, v.Description = s, s },
	"stock":         func(_ *productFile, v *variantFile, s string) { v.Stock = s },
	"limit":         func(_ *productFile, v *variantFile, s string) { v.Limit = s },
	"sku":           func(_ *productFile, v *variantFile, s string) { v.SKU = s },
	"image":         func(_ *productFile, v *variantFile, s string) { v.Image = s },
	"tax_class":     func(_ *productFile, v *variantFile, s string) { v.TaxClass = s },
	"url":           func(p *productFile, _ *variantFile, s string) { p.URL = s },
	"product":       func(p *productFile, _ *variantFile, s string) { p.ID = s },
	"product_title": func(p *productFile, _ *variantFile, s string) { p.Title = s },
	"categories":    func(p *productFile, _ *variantFile, s string) { p.Categories = list(s) },
	"route":         func(_ *productFile, v *variantFile, s string) { opens(v).Route = s },
	"uses":          func(_ *productFile, v *variantFile, s string) { opens(v).Uses = s },
	"for":           func(_ *productFile, v *variantFile, s string) { opens(v).For = s },
	"digital":       nil, // read where a fault can be told
	"credit":        nil,
	"options":       nil,
}

// yes reads a truth.
func (r *reader) yes(line int, name, value string) bool {
	switch value {
	case "true", "yes", "1":
		return true
	case "false", "no", "0":
	default:
		r.sheet.FaultAt(line, "%s: %.40q is neither true nor false", name, value)
	}
	return false
}

func opens(v *variantFile) *opensFile {
	if len(v.Opens) == 0 {
		v.Opens = make([]opensFile, 1)
	}
	return &v.Opens[0]
}

// list reads words with semicolons between them.
func list(s string) []string {
	var out []string
	for word := range strings.SplitSeq(s, ";") {
		if word = strings.TrimSpace(word); word != "" {
			out = append(out, word)
		}
	}
	return out
}

func parseCSV(name string, data []byte, o Options) (*checkout.Shop, error) {
	r := reader{o: o, sheet: config.NewSheet(name)}
	if len(data) > maxBytes {
		r.sheet.FaultAt(0, "the file is larger than 32MiB")
		return nil, r.sheet.Err() //nolint:wrapcheck // it names the lines
	}
	rows := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\ufeff"))))
	rows.FieldsPerRecord = -1 // told with our own words
	head, err := rows.Read()
	if err != nil {
		r.sheet.FaultAt(1, "the first line names the columns, such as id,title,price")
		return nil, r.sheet.Err() //nolint:wrapcheck // it names the lines
	}
	r.header(head)
	where := map[string]int{} // products by id
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if pe, ok := errors.AsType[*csv.ParseError](err); ok {
			r.sheet.FaultAt(pe.Line, "this is not CSV: %v", pe.Err)
			break
		}
		line, _ := rows.FieldPos(0)
		switch {
		case err != nil:
			r.sheet.FaultAt(line, "this cannot be read")
		case len(row) != len(head):
			r.sheet.FaultAt(line, "has %d values, and there are %d columns", len(row), len(head))
		default:
			r.row(head, row, line, where)
		}
	}
	if err := r.sheet.Err(); err != nil {
		return nil, err //nolint:wrapcheck // it names the lines
	}
	return r.shop(data)
}

func (r *reader) header(head []string) {
	var known []string
	for name := range columns {
		known = append(known, name)
	}
	seen := map[string]bool{}
	for i, name := range head {
		name = strings.ToLower(strings.TrimSpace(name))
		head[i] = name
		switch _, ok := columns[name]; {
		case seen[name]:
			r.sheet.FaultAt(1, "the column %.40q is there twice", name)
		case !ok:
			if meant := config.Nearest(name, known); meant != "" {
				r.sheet.FaultAt(1, "there is no column %.40q; was %s meant?", name, meant)
			} else {
				r.sheet.FaultAt(1, "there is no column %.40q", name)
			}
		}
		seen[name] = true
	}
	if !seen["id"] {
		r.sheet.FaultAt(1, "the column id is missing")
	}
}

// row adds the variant of a row to its product.
func (r *reader) row(head, row []string, line int, where map[string]int) {
	var p productFile
	var v variantFile
	for i, name := range head {
		value := strings.TrimSpace(row[i])
		if value == "" {
			continue
		}
		if set := columns[name]; set != nil {
			set(&p, &v, value)
			continue
		}
		switch name {
		case "digital":
			v.Digital = r.yes(line, name, value)
		case "credit":
			if r.yes(line, name, value) {
				opens(&v).Credit = true
			}
		case "options":
			v.Options = map[string]string{}
			for _, pair := range list(value) {
				key, val, ok := strings.Cut(pair, "=")
				if !ok {
					r.sheet.FaultAt(line, "options: %.40q is not name=value", pair)
				}
				v.Options[strings.TrimSpace(key)] = strings.TrimSpace(val)
			}
		}
	}
	if p.ID == "" {
		p.ID = v.ID
	}
	if p.Title == "" {
		p.Title = v.Title
	}
	i, known := where[p.ID]
	if !known {
		i = len(r.in.Products)
		where[p.ID] = i
		r.in.Products = append(r.in.Products, p)
		r.sheet.Note(item("products", i), line)
	}
	j := len(r.in.Products[i].Variants)
	r.in.Products[i].Variants = append(r.in.Products[i].Variants, v)
	r.sheet.Note(item(item("products", i)+".variants", j), line)
}
