import type { ArgumentNode } from "./ast.ts";
import { unsupported } from "./budget.ts";
import { methodOf } from "./methods.ts";
import { lengthOfText, scanText } from "./text-cost.ts";
import { fieldsText } from "./special.ts";
import { validate } from "./parameter.ts";
import { MISSING } from "./runner.ts";
import type { Arguments, Runner } from "./runner.ts";
import type { Method } from "./types.ts";
import { goType } from "./types.ts";
import type { Maybe, Value } from "./value.ts";
import { addressOf, fieldOf, indirect, mapEntry } from "./value.ts";

/** Writing a byte of JSON, which happens each time, takes as long as making this many. */
const JSON_COST = 8;
/** A method takes as long as this many nodes. */
const METHOD_STEPS = 10;

interface Access {
  readonly name: string;
  readonly node: ArgumentNode;
  readonly args: Arguments;
}

interface Callee {
  /** Pointers followed. */
  readonly target: Value;
  readonly receiver: Value;
}

/** Evaluates `.name` on a receiver: a method, a struct's field or a map's key (Go: evalField). */
export function evaluateField(run: Runner, receiver: Maybe, access: Access): Maybe {
  if (receiver === undefined) return undefined;
  const target = indirect(receiver);
  if (target.type.key === "meta.FieldsV1") {
    run.budget.spend(fieldsText(target.raw).length * JSON_COST);
  }
  const value = fieldValue(run, { target, receiver }, access);
  scanText(value, run.budget);
  return value;
}

function fieldValue(run: Runner, { target, receiver }: Callee, access: Access): Maybe {
  const method = findMethod(target, access.name);
  if (method !== undefined) {
    return callMethod(run, { target, receiver }, { ...access, method });
  }
  const hasArguments = access.args.nodes.length > 0 || access.args.final !== MISSING;
  switch (target.type.kind) {
    case "struct": {
      const path = target.type.findField(access.name);
      if (path === undefined) break;
      const last = path.at(-1);
      if (last?.exported !== true) {
        const type = receiver.type.text;
        run.fail(`${access.name} is an unexported field of struct type ${type}`);
      }
      if (hasArguments) {
        run.fail(`${access.name} has arguments but cannot be invoked as function`);
      }
      return path.reduce(fieldOf, target);
    }
    case "map":
      if (target.type.mapKey.key !== "string") break;
      if (hasArguments) run.fail(`${access.name} is not a method but has arguments`);
      return mapEntry(target, access.name);
    case "pointer": {
      // indirect() stops only at nil. A field the struct lacks is the better complaint.
      const { elem } = target.type;
      if (elem.kind === "struct" && elem.findField(access.name) === undefined) break;
      run.fail(`nil pointer evaluating ${receiver.type.text}.${access.name}`);
      break;
    }
    default:
  }
  return run.fail(`can't evaluate field ${access.name} in type ${receiver.type.text}`);
}

function findMethod(target: Value, name: string): Method | undefined {
  const { type } = target;
  if (type.kind === "pointer") return type.elem.methods.get(name);
  const method = type.methods.get(name);
  return method?.onPointer === true && !target.addressable ? undefined : method;
}

function callMethod(run: Runner, callee: Callee, access: Access & { method: Method }): Maybe {
  const { target } = callee;
  const { method, name, args, node } = access;
  const last = method.ins.at(-1) ?? "";
  const variadic = last.startsWith("...");
  const fixed = method.ins.length - (variadic ? 1 : 0);
  run.checkCount(name, args, { fixed, variadic });
  const failure = resultFailure(method);
  if (failure !== undefined) run.fail(failure);
  const owner = target.type.kind === "pointer" ? target.type.elem : target.type;
  const call = variadic ? undefined : methodOf(owner, name);
  if (call === undefined) {
    throw unsupported(`method ${name} of ${owner.text}`);
  }
  const types = method.ins.map((expression) => goType(expression));
  const values = args.nodes.map((arg, index) => run.argument(args.dot, types[index], arg));
  if (args.final !== MISSING) values.push(validate(run, args.final, types[values.length]));
  run.budget.step(METHOD_STEPS);
  for (const value of values) run.budget.spend(lengthOfText(value));
  const result = run.guard(name, node, () => call(addressed(callee), values, run.budget));
  run.budget.spend(lengthOfText(result));
  return result;
}

/** The receiver as a pointer where it can be one, the same as it came if it was one. */
function addressed({ target, receiver }: Callee): Value {
  if (target.type.kind === "pointer" || !target.addressable) return target;
  return receiver.type === target.type.pointerTo() ? receiver : addressOf(target);
}

/** A template may call only what returns one value, or a value and an error; else, what Go says. */
export function resultFailure({ name, outs }: Method): string | undefined {
  if (outs.length === 1 || (outs.length === 2 && outs[1] === "error")) return undefined;
  if (outs.length === 2) {
    const second = goType(outs[1] ?? "").text;
    return `invalid function signature for ${name}: second return value should be error; is ${second}`;
  }
  return `function ${name} has ${outs.length} return values; should be 1 or 2`;
}
