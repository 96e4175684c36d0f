import type { z } from "zod";
import { SignetError } from "../core/errors.ts";
import type { CustomResource } from "./objects.ts";
import { originOf } from "./rule.ts";
import type { Rule, RuleOrigin, ValidRule } from "./rule.ts";
import type { Settings } from "./settings.ts";
import { SpecCheck } from "./spec-check.ts";
import type { SourceKind } from "./types.ts";

/** What a spec is compiled with; problems go to `check`. */
export interface CompileContext {
  readonly origin: RuleOrigin;
  readonly settings: Settings;
  readonly check: SpecCheck;
}

/** How the specs of one kind become rules. */
export interface KindOfRule<S> {
  readonly kind: SourceKind;
  readonly schema: z.ZodType<S>;
  /** May be undefined only after a problem was noted. */
  readonly compileSpec: (spec: S, context: CompileContext) => ValidRule | undefined;
}

/** Compiles a custom resource of a kind. Never throws for what is wrong with it: that is in the result. */
export function compileObject<S extends { className?: string | undefined }>(
  { kind, schema, compileSpec }: KindOfRule<S>,
  object: CustomResource,
  settings: Settings,
): Rule {
  const origin = originOf(kind, object);
  const check = new SpecCheck();
  const spec = check.parse(schema, object.spec);
  const className = spec?.className ?? "";
  if (spec && !settings.ownsClass(className)) return { ...origin, state: "foreign", className };
  const rule = spec && compileSpec(spec, { origin, settings, check });
  const [first, ...more] = check.problems;
  if (first) return { ...origin, state: "invalid", problems: [first, ...more] };
  if (!rule) throw new SignetError("INTERNAL", "a spec without a problem has to compile");
  return rule;
}
