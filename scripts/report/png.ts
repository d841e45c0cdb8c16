/** The pixels of a PNG with 8 bits a channel, as Chromium makes them. */
import * as zlib from "node:zlib"

export interface Image {
  readonly width: number
  readonly height: number
  /** As `#rrggbb`. */
  readonly at: (x: number, y: number) => string
}

export const decode = (png: Buffer): Image => {
  const [width, height, depth, type, , , interlaced] = [
    png.readUInt32BE(16),
    png.readUInt32BE(20),
    ...png.subarray(24, 29)
  ] as [number, number, number, number, number, number, number]
  const channels = type === 6 ? 4 : 3
  if (depth !== 8 || (type !== 2 && type !== 6) || interlaced !== 0) {
    throw new Error(`a PNG of another kind: ${depth}, ${type}`)
  }
  const data: Array<Buffer> = []
  for (let at = 8; at < png.length; at += 12 + png.readUInt32BE(at)) {
    if (png.toString("latin1", at + 4, at + 8) === "IDAT") {
      data.push(png.subarray(at + 8, at + 8 + png.readUInt32BE(at)))
    }
  }
  const raw = zlib.inflateSync(Buffer.concat(data))
  const stride = width * channels
  const pixels = Buffer.alloc(stride * height)
  for (let y = 0; y < height; y++) {
    const filter = raw[y * (stride + 1)]!
    for (let x = 0; x < stride; x++) {
      const left = x < channels ? 0 : pixels[y * stride + x - channels]!
      const above = y === 0 ? 0 : pixels[(y - 1) * stride + x]!
      const corner = y === 0 || x < channels ? 0 : pixels[(y - 1) * stride + x - channels]!
      pixels[y * stride + x] = raw[y * (stride + 1) + 1 + x]! + predicted(filter, left, above, corner)
    }
  }
  return {
    width,
    height,
    at: (x, y) => `#${pixels.toString("hex", (y * width + x) * channels, (y * width + x) * channels + 3)}`
  }
}

// internal

const predicted = (filter: number, left: number, above: number, corner: number): number => {
  if (filter === 1) return left
  if (filter === 2) return above
  if (filter === 3) return (left + above) >> 1
  if (filter !== 4) return 0
  const [a, b, c] = [left, above, corner].map((value) => Math.abs(left + above - corner - value)) as [
    number,
    number,
    number
  ]
  return a <= b && a <= c ? left : b <= c ? above : corner
}
