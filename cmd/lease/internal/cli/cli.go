// Package cli is how the commands are written, and what they say of themselves.
package cli

import (
	"cmp"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/intercom/lease/cmd/lease/internal/exit"
	"github.com/intercom/lease/cmd/lease/internal/say"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"
)

// NoCommand is what "lease" does without a command, or with one that isn't there.
func NoCommand(root *cobra.Command, args []string) error {
	const seeList = `"lease -h" has a list`
	if len(args) == 0 {
		return exit.Usagef("no command; " + seeList)
	}
	if near := root.SuggestionsFor(args[0]); len(near) > 0 {
		return exit.Usagef("no command %q: is it %s? %s", args[0], strings.Join(near, ", or "), seeList)
	}
	return exit.Usagef("no command %q; %s", args[0], seeList)
}

// find returns the command of that name; root itself if there is no name.
func find(root *cobra.Command, name []string) (*cobra.Command, error) {
	found, rest, err := root.Find(name)
	if err != nil || len(rest) > 0 {
		return nil, NoCommand(root, name)
	}
	return found, nil
}

// helpCommand shows the help of a command.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "help [COMMAND]",
		Short:  "what a command does",
		Hidden: true,
		RunE: func(c *cobra.Command, args []string) error {
			of, err := find(c.Root(), args)
			if err != nil {
				return err
			}
			return of.Help()
		},
	}
}

// Dress has errors be this program's, and helps be short.
func Dress(root *cobra.Command) {
	root.SilenceErrors = true
	root.SilenceUsage = true
	root.SuggestionsMinimumDistance = 2
	root.DisableAutoGenTag = true
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetHelpCommand(helpCommand())
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return exit.Usagef(`%v; see "%s -h"`, oneDash(err), c.CommandPath())
	})
	root.SetHelpTemplate(helpTemplate)
	root.SetVersionTemplate("{{.Version}}\n")
}

func init() { cobra.AddTemplateFunc("flagsOf", flagsOf) }

const helpTemplate = `Usage: {{.UseLine}}

{{or .Long .Short}}
{{if .HasAvailableSubCommands}}
{{range .Commands}}{{if .IsAvailableCommand}}  {{rpad .Name .NamePadding}} {{.Short}}
{{end}}{{end}}{{end}}{{with flagsOf .LocalFlags}}
{{.}}{{end}}{{if .HasInheritedFlags}}
  -table T, -key K, -region R, -endpoint URL, -v: see "lease -h"
{{end}}{{with .Example}}
Example: {{.}}
{{end}}`

// flagsOf lists flags, with what they are for.
func flagsOf(flags *pflag.FlagSet) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	flags.VisitAll(func(f *pflag.Flag) {
		value, usage := pflag.UnquoteUsage(f)
		if isLeftOut(f) {
			return
		}
		name := strings.TrimSpace("-" + cmp.Or(f.Shorthand, f.Name) + " " + value)
		fmt.Fprintf(w, "  %s\t%s\n", name, strings.ReplaceAll(usage, "\n", "\n\t"))
	})
	w.Flush()
	return b.String()
}

// elsewhere is set of flags that the help of another one explains: there is room for 24 lines.
const elsewhere = "elsewhere"

func ExplainedElsewhere(flags *pflag.FlagSet, names ...string) {
	for _, name := range names {
		flags.SetAnnotation(name, elsewhere, nil)
	}
}

func isLeftOut(f *pflag.Flag) bool {
	_, isElsewhere := f.Annotations[elsewhere]
	return isElsewhere || f.Hidden || f.Name == "help" || f.Name == "version"
}

// WithTwoDashes returns arguments as cobra takes them: -table, as documents and scripts have it, is
// --table. What follows on "--" is left alone; so is what follows on the first argument of a
// command that runs another one.
func WithTwoDashes(root *cobra.Command, args []string) []string {
	args = slices.Clone(args)
	c := root
	for i := 0; i < len(args) && args[i] != "--"; i++ {
		name, isFlag := strings.CutPrefix(args[i], "-")
		if !isFlag {
			if sub := subcommand(c, args[i]); sub != nil {
				c = sub
				continue
			}
			if IsVerbatim(c) {
				break
			}
			continue
		}
		name = strings.TrimPrefix(name, "-")
		name, _, hasValue := strings.Cut(name, "=")
		if len(name) < 2 {
			continue
		}
		args[i] = "--" + strings.TrimLeft(args[i], "-")
		f := Lookup(c, name)
		takesNext := f != nil && !hasValue && f.NoOptDefVal == ""
		if takesNext {
			i++
		}
	}
	return args
}

func subcommand(c *cobra.Command, name string) *cobra.Command {
	i := slices.IndexFunc(c.Commands(), func(sub *cobra.Command) bool { return sub.Name() == name })
	if i < 0 {
		return nil
	}
	return c.Commands()[i]
}

func Lookup(c *cobra.Command, name string) *pflag.Flag {
	return cmp.Or(c.Flags().Lookup(name), c.PersistentFlags().Lookup(name), c.Root().PersistentFlags().Lookup(name))
}

const Verbatim = "verbatim"

// IsVerbatim tells of a command after whose first argument no flag is its own.
func IsVerbatim(c *cobra.Command) bool { return c.Annotations[Verbatim] != "" }

// oneDash writes flags in an error as documents and scripts have them.
func oneDash(err error) string {
	text := strings.NewReplacer(`"--`, `"-`, ` --`, ` -`).Replace(err.Error())
	if strings.Contains(text, "missing unit in duration") {
		text += ": want 30s, or 5m"
	}
	return text
}

// IsGiven tells whether a flag was given, be it empty.
func IsGiven(c *cobra.Command, name string) bool { return c.Flags().Changed(name) }

// Version is that of this program's module, and its commit where it is known.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	text := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && !strings.Contains(text, s.Value[:min(12, len(s.Value))]) {
			text += " " + s.Value
		}
	}
	return text + " " + info.GoVersion
}

func VersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Hidden:  true,
		Short:   "which version this is",
		Example: "lease version",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return say.Printf("%s\n", Version()) },
	}
}

// ManCommand writes manual pages, of the commands themselves.
func ManCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "man [COMMAND]",
		Hidden:  true,
		Short:   "a manual page",
		Long:    "Writes the manual page of a command, or of all together.",
		Example: "lease man hold | man -l -",
		RunE: func(c *cobra.Command, args []string) error {
			of, err := find(c.Root(), args)
			if err != nil {
				return err
			}
			return doc.GenMan(of, &doc.GenManHeader{Section: "1", Source: Version()}, os.Stdout)
		},
	}
}
