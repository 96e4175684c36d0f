/** Reads what the lexer takes for a number: infinite on overflow, undefined on bad syntax. */
export function parseFloatText(text: string): number | undefined {
  if (!underscoresFit(text)) return undefined;
  const plain = text.replaceAll("_", "").toLowerCase();
  if (/^[+-]?0x/.test(plain)) return parseHexFloat(plain);
  if (!/^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/.test(plain)) return undefined;
  return Number(plain);
}

function parseHexFloat(text: string): number | undefined {
  const parts = /^([+-]?)0x([\da-f]*)(?:\.([\da-f]*))?p([+-]?\d+)$/.exec(text);
  if (parts === null) return undefined;
  const [, sign = "", whole = "", fraction = "", exponent = ""] = parts;
  if (whole + fraction === "") return undefined;
  const mantissa = BigInt(`0x${whole}${fraction}`);
  const value = scaleExactly(mantissa, Number(exponent) - 4 * fraction.length);
  return sign === "-" ? -value : value;
}

/** mantissa × 2^exponent, rounded once to the nearest double, ties to even. */
function scaleExactly(mantissa: bigint, exponent: number): number {
  if (mantissa === 0n) return 0;
  const bits = mantissa.toString(2).length;
  if (bits + exponent > 1024) return Number.POSITIVE_INFINITY;
  if (bits + exponent < -1080) return 0;
  // BigInt → Number rounds to nearest even at 53 bits; subnormals have fewer.
  const kept = Math.min(53, bits + exponent + 1074);
  const drop = bits - kept;
  if (drop <= 0) return Number(mantissa) * 2 ** exponent;
  const half = 1n << BigInt(drop - 1);
  const low = mantissa & ((1n << BigInt(drop)) - 1n);
  let high = mantissa >> BigInt(drop);
  if (low > half || (low === half && (high & 1n) === 1n)) high += 1n;
  const scale = exponent + drop;
  return scale < -1022
    ? Number(high) * 2 ** -1022 * 2 ** (scale + 1022)
    : Number(high) * 2 ** scale;
}

/** strconv's rule: an underscore stands between digits or after a base prefix. */
export function underscoresFit(text: string): boolean {
  if (!text.includes("_")) return true;
  const digits = text.replace(/^[+-]/, "");
  const prefixed = /^0[box]/i.test(digits);
  // Without a base prefix, ParseInt takes underscores too, since its base is 0.
  const body = prefixed ? `0${digits.slice(2)}` : digits;
  const digit = /^0x/i.test(digits) ? "[\\da-f]" : "\\d";
  return !new RegExp(`(?<!${digit})_|_(?!${digit})`, "i").test(body);
}
