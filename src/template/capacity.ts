import type { GoType } from "./types.ts";

/**
 * How many elements a slice that JSON filled one by one has room for: `slice` may go beyond the
 * length, up to there, and shows zero values (Go: encoding/json, runtime.growslice).
 */
export function capacityOf(elem: GoType, length: number): number {
  const size = elem.size;
  const noPointers = !hasPointers(elem);
  let capacity = 0;
  while (capacity < length) {
    capacity = Math.floor(blockSize(nextCapacity(capacity) * size, noPointers) / size);
  }
  return capacity;
}

/** How much room a []byte has that was appended at once. */
export function bytesCapacity(length: number): number {
  return blockSize(length, true);
}

const DOUBLING_ENDS = 256;

function nextCapacity(old: number): number {
  if (old === 0) return 1;
  return old < DOUBLING_ENDS ? 2 * old : old + Math.floor((old + 3 * DOUBLING_ENDS) / 4);
}

/** Go: internal/runtime/gc.SizeClassToSize. */
const SIZE_CLASSES = [
  8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240, 256, 288, 320, 352,
  384, 416, 448, 480, 512, 576, 640, 704, 768, 896, 1024, 1152, 1280, 1408, 1536, 1792, 2048, 2304,
  2688, 3072, 3200, 3456, 4096, 4864, 5376, 6144, 6528, 6784, 6912, 8192, 9472, 9728, 10240, 10880,
  12288, 13568, 14336, 16384, 18432, 19072, 20480, 21760, 24576, 27264, 28672, 32768,
];
const LARGEST_SMALL = 32_768;
const PAGE = 8_192;
/** Blocks with pointers above 512 bytes begin with a word of their own. */
const HEADER = 8;
const HEADER_ABOVE = 512;

/** What the allocator gives for so many bytes (Go: runtime.roundupsize). */
function blockSize(bytes: number, noPointers: boolean): number {
  if (bytes > LARGEST_SMALL - HEADER) return Math.ceil(bytes / PAGE) * PAGE;
  const header = !noPointers && bytes > HEADER_ABOVE ? HEADER : 0;
  const fitting = SIZE_CLASSES.find((size) => size >= bytes + header);
  return (fitting ?? LARGEST_SMALL) - header;
}

function hasPointers(type: GoType): boolean {
  if (type.kind === "struct") return type.fields.some((field) => hasPointers(field.type));
  return !/^(?:bool|u?int\d*|float64|complex128)$/.test(type.kind);
}
