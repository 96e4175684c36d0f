/** strconv.FormatFloat for 64-bit floats: verbs e E f g G x X b. */
export function formatFloat(value: number, verb: string, precision: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+Inf" : "-Inf";
  const sign = value < 0 || Object.is(value, -0) ? "-" : "";
  const size = Math.abs(value);
  if (verb === "b") return sign + formatBinary(size);
  if (verb === "x" || verb === "X") return sign + formatHex(size, verb, precision);
  return sign + formatDecimal(size, verb, precision);
}

/** A decimal 0.DIGITS × 10^point without trailing zeros; zero has no digits. */
interface Decimal {
  readonly digits: string;
  readonly point: number;
}

function formatDecimal(size: number, verb: string, precision: number): string {
  const shortest = precision < 0;
  const form = verb.toLowerCase();
  const exact = shortest ? shortestDecimal(size) : exactDecimal(size);
  const decimal = shortest ? exact : roundDecimal(exact, digitsWanted(form, precision, exact));
  const { digits, point } = decimal;
  if (form === "e") return exponential(decimal, shortest ? digits.length - 1 : precision, verb);
  if (form === "f") return fixed(decimal, shortest ? digits.length - point : precision);
  const wanted = shortest ? digits.length : Math.max(precision, 1);
  let limit = wanted;
  if (limit > digits.length && digits.length >= point) limit = digits.length;
  if (shortest) limit = 6;
  if (point - 1 < -4 || point - 1 >= limit) {
    return exponential(decimal, Math.min(wanted, digits.length) - 1, verb === "G" ? "E" : "e");
  }
  return fixed(decimal, (wanted > point ? digits.length : wanted) - point);
}

function digitsWanted(form: string, precision: number, exact: Decimal): number {
  if (form === "e") return precision + 1;
  return form === "f" ? exact.point + precision : Math.max(precision, 1);
}

function shortestDecimal(size: number): Decimal {
  if (size === 0) return { digits: "", point: 0 };
  const [mantissa = "", exponent = ""] = size.toExponential().split("e");
  return { digits: mantissa.replace(".", ""), point: Number(exponent) + 1 };
}

/** Every digit of the double, of which there are at most some 770. */
function exactDecimal(size: number): Decimal {
  if (size === 0) return { digits: "", point: 0 };
  const { mantissa, exponent } = decompose(size);
  if (exponent >= 0) {
    const digits = (mantissa << BigInt(exponent)).toString();
    return { digits: trimZeros(digits), point: digits.length };
  }
  const digits = (mantissa * 5n ** BigInt(-exponent)).toString();
  return { digits: trimZeros(digits), point: digits.length + exponent };
}

/** Rounds half to even, which is exact because the digits are. */
function roundDecimal(decimal: Decimal, count: number): Decimal {
  const { digits, point } = decimal;
  if (count < 0) return { digits: "", point: 0 };
  if (count >= digits.length) return decimal;
  const kept = digits.slice(0, count);
  const rest = digits.slice(count);
  const odd = count > 0 && Number(kept.at(-1)) % 2 === 1;
  const up = rest === "5" ? odd : rest.charCodeAt(0) >= 0x35;
  if (!up) return { digits: trimZeros(kept), point: trimZeros(kept) === "" ? 0 : point };
  const raised = (BigInt(kept === "" ? "0" : kept) + 1n).toString();
  return { digits: trimZeros(raised), point: point + raised.length - count };
}

function exponential(decimal: Decimal, precision: number, letter: string): string {
  const { digits, point } = decimal;
  const fraction = precision > 0 ? `.${digits.slice(1, precision + 1).padEnd(precision, "0")}` : "";
  const exponent = digits === "" ? 0 : point - 1;
  const sign = exponent < 0 ? "-" : "+";
  const size = Math.abs(exponent).toString().padStart(2, "0");
  return `${digits === "" ? "0" : digits.charAt(0)}${fraction}${letter}${sign}${size}`;
}

function fixed(decimal: Decimal, precision: number): string {
  const { digits, point } = decimal;
  const whole = point > 0 ? digits.slice(0, point).padEnd(point, "0") : "0";
  if (precision <= 0) return whole;
  const leading = "0".repeat(Math.min(Math.max(-point, 0), precision));
  const fraction = leading + digits.slice(Math.max(point, 0));
  return `${whole}.${fraction.slice(0, precision).padEnd(precision, "0")}`;
}

function formatBinary(size: number): string {
  const { mantissa, exponent } = decompose(size);
  return `${mantissa}p${exponent < 0 ? "" : "+"}${exponent}`;
}

function formatHex(size: number, verb: string, precision: number): string {
  let { mantissa, exponent } = decompose(size);
  exponent = mantissa === 0n ? 0 : exponent + 52;
  // The leading one goes to bit 60, fifteen hexadecimal digits follow it.
  mantissa <<= 8n;
  while (mantissa !== 0n && mantissa >> 60n === 0n) {
    mantissa <<= 1n;
    exponent--;
  }
  if (precision >= 0 && precision < 15) {
    const drop = BigInt(60 - precision * 4);
    const half = 1n << (drop - 1n);
    const low = mantissa & ((1n << drop) - 1n);
    mantissa >>= drop;
    if (low > half || (low === half && (mantissa & 1n) === 1n)) mantissa++;
    mantissa <<= drop;
    if (mantissa >> 61n !== 0n) {
      mantissa >>= 1n;
      exponent++;
    }
  }
  const digits = (mantissa & ((1n << 60n) - 1n)).toString(16).padStart(15, "0");
  const shown =
    precision < 0 ? trimZeros(digits) : digits.slice(0, precision).padEnd(precision, "0");
  const sign = exponent < 0 ? "-" : "+";
  const power = Math.abs(exponent).toString().padStart(2, "0");
  const text = `0x${mantissa >> 60n}${shown === "" ? "" : `.${shown}`}p${sign}${power}`;
  return verb === "X" ? text.toUpperCase() : text;
}

/** size = mantissa × 2^exponent, as the bits of the double say. */
function decompose(size: number): { mantissa: bigint; exponent: number } {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, size);
  const bits = view.getBigUint64(0);
  const biased = Number(bits >> 52n);
  const fraction = bits & ((1n << 52n) - 1n);
  if (biased === 0) return { mantissa: fraction, exponent: -1074 };
  return { mantissa: fraction | (1n << 52n), exponent: biased - 1075 };
}

function trimZeros(digits: string): string {
  return digits.replace(/0+$/, "");
}
