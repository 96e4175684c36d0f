// Command types prints src/template/go-types.ts: the Go names, types and methods of everything
// that a ClusterSPIFFEID template can reach from its data object, through fields and methods.
package main

import (
	"fmt"
	"go/token"
	"os"
	"reflect"
	"sort"
	"strings"

	"signet.dev/golden/templates/spireentry"
)

// aliases gives each package a name of its own; two of them call themselves v1.
var aliases = map[string]string{
	"k8s.io/api/core/v1":                            "core",
	"k8s.io/apimachinery/pkg/apis/meta/v1":          "meta",
	"k8s.io/apimachinery/pkg/api/resource":          "resource",
	"k8s.io/apimachinery/pkg/util/intstr":           "intstr",
	"k8s.io/apimachinery/pkg/types":                 "types",
	"signet.dev/golden/templates/spireentry":        "spireentry",
	"k8s.io/apimachinery/pkg/runtime/schema":        "schema",
	"k8s.io/apimachinery/third_party/forked/golang": "golang",
}

// foreign are the packages whose types are listed only by name: a template gets no further there.
var foreign = map[string]bool{"math/rand": true, "github.com/go-logr/logr": true}

type row struct{ key, text string }

type walker struct {
	seen map[string]bool
	rows []row
	sets map[string]int
	list []string
}

// name writes a type the way the table names it.
func name(t reflect.Type) string {
	if t.Name() != "" {
		if t.PkgPath() == "" {
			return t.Name()
		}
		alias, ok := aliases[t.PkgPath()]
		if !ok {
			alias = strings.Split(t.String(), ".")[0]
		}
		return alias + "." + t.Name()
	}
	switch t.Kind() {
	case reflect.Pointer:
		return "*" + name(t.Elem())
	case reflect.Slice:
		return "[]" + name(t.Elem())
	case reflect.Map:
		return "map[" + name(t.Key()) + "]" + name(t.Elem())
	case reflect.Interface:
		if t.NumMethod() == 0 {
			return "any"
		}
	}
	return strings.ReplaceAll(t.String(), " ", "")
}

// underlying writes the definition of a named type that is not a struct.
func underlying(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Slice:
		return "[]" + name(t.Elem())
	case reflect.Map:
		return "map[" + name(t.Key()) + "]" + name(t.Elem())
	case reflect.Interface:
		return "any"
	}
	return t.Kind().String()
}

func (w *walker) visit(t reflect.Type) {
	switch {
	case t.PkgPath() != "" && t.Name() != "":
		w.named(t)
	case t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice:
		w.visit(t.Elem())
	case t.Kind() == reflect.Map:
		w.visit(t.Key())
		w.visit(t.Elem())
	}
}

func (w *walker) named(t reflect.Type) {
	key := name(t)
	if w.seen[key] {
		return
	}
	w.seen[key] = true
	if foreign[t.PkgPath()] || t.Kind() == reflect.Interface {
		return
	}
	kind := "struct"
	definition := underlying(t)
	if t.Kind() == reflect.Struct {
		definition = w.fields(t)
	} else {
		kind = "named"
		if t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
			w.visit(t.Elem())
		}
	}
	w.rows = append(w.rows, row{key, fmt.Sprintf("%s %d %d %s", kind, t.Size(), w.methods(t), definition)})
}

// fields lists "GoName jsonName protobufNumber type" in Go order; an embedded field has "^" before its name.
func (w *walker) fields(t reflect.Type) string {
	var out []string
	for i := range t.NumField() {
		f := t.Field(i)
		tag := strings.Split(f.Tag.Get("json"), ",")
		json := tag[0]
		if json == "" && f.IsExported() && !f.Anonymous {
			json = f.Name
		}
		if json == "" || !f.IsExported() {
			json = "-"
		}
		number := "0"
		if p := strings.Split(f.Tag.Get("protobuf"), ","); len(p) > 1 {
			number = p[1]
		}
		mark := ""
		if f.Anonymous {
			mark = "^"
		}
		out = append(out, mark+f.Name+" "+json+" "+number+" "+name(f.Type))
		// fmt shows what is inside a quantity, down to its big integer.
		if f.IsExported() || hidden(f.Type) {
			w.visit(f.Type)
		}
	}
	return strings.Join(out, "; ")
}

// methods numbers the method set of *T; "*" marks a method that needs a pointer, "@" is T itself.
func (w *walker) methods(t reflect.Type) int {
	if hidden(t) {
		return w.number("")
	}
	p := reflect.PointerTo(t)
	var out []string
	for i := range p.NumMethod() {
		m := p.Method(i)
		mark := ""
		if _, onValue := t.MethodByName(m.Name); !onValue {
			mark = "*"
		}
		out = append(out, mark+m.Name+signature(m.Type, name(t)))
		w.results(m.Type)
	}
	sort.Strings(out)
	return w.number(strings.Join(out, "; "))
}

// hidden types are printed, but no template gets hold of them to call a method.
func hidden(t reflect.Type) bool {
	return t.PkgPath() == "math/big" || t.PkgPath() != "" && !token.IsExported(t.Name())
}

func (w *walker) number(set string) int {
	if _, ok := w.sets[set]; !ok {
		w.sets[set] = len(w.list)
		w.list = append(w.list, set)
	}
	return w.sets[set]
}

// results visits what a template gets from a method, or must have to call it.
func (w *walker) results(t reflect.Type) {
	second := t.NumOut() == 2 && t.Out(1) == reflect.TypeFor[error]()
	if t.NumOut() != 1 && !second {
		return
	}
	w.visit(t.Out(0))
	for i := 1; i < t.NumIn(); i++ {
		w.visit(t.In(i))
	}
}

func signature(t reflect.Type, self string) string {
	var ins, outs []string
	for i := 1; i < t.NumIn(); i++ {
		in := short(t.In(i), self)
		if t.IsVariadic() && i == t.NumIn()-1 {
			in = "..." + short(t.In(i).Elem(), self)
		}
		ins = append(ins, in)
	}
	for i := range t.NumOut() {
		outs = append(outs, short(t.Out(i), self))
	}
	return "(" + strings.Join(ins, ",") + ")" + strings.Join(outs, ",")
}

// short is name with "@" for the type that has the method.
func short(t reflect.Type, self string) string {
	switch name(t) {
	case self:
		return "@"
	case "*" + self:
		return "*@"
	}
	return name(t)
}

func main() {
	w := &walker{seen: map[string]bool{}, sets: map[string]int{}}
	w.visit(reflect.TypeOf(spireentry.New()))
	w.visit(reflect.TypeOf(spireentry.Extras()))
	sort.Slice(w.rows, func(i, j int) bool { return w.rows[i].key < w.rows[j].key })
	out := os.Stdout
	fmt.Fprintln(out, "// Generated from the Go types of k8s.io/api; do not edit.")
	fmt.Fprintln(out, "// Regenerate: cd test/golden/templates && go run ./types > ../../../src/template/go-types.ts")
	fmt.Fprintln(out)
	fmt.Fprintln(out, "/** Method sets, by number: `*` needs an addressable receiver, `@` is the type itself. */")
	fmt.Fprintln(out, "export const METHOD_SETS: readonly string[] = [")
	for _, set := range w.list {
		fmt.Fprintf(out, "  %q,\n", set)
	}
	fmt.Fprintln(out, "];")
	fmt.Fprintln(out)
	fmt.Fprintln(out, "/**")
	fmt.Fprintln(out, " * Name, kind, size in bytes, method set, and fields (`Go json protobuf type`, `^` = embedded) or")
	fmt.Fprintln(out, " * definition of every type.")
	fmt.Fprintln(out, " */")
	fmt.Fprintln(out, "export const GO_TYPES: readonly string[] = [")
	for _, r := range w.rows {
		fmt.Fprintf(out, "  %q,\n", r.key+" "+r.text)
	}
	fmt.Fprintln(out, "];")
}
