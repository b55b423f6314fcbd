// What artillery.yml sends: the key from the environment, and images that are made up, each with UIDs of its own.
"use strict";

const { randomBytes, randomUUID } = require("node:crypto");

const SIDE = 256;
const LONG = new Set(["OB", "OW"]);

function uid() {
  return Buffer.from("2.25." + BigInt("0x" + randomUUID().replaceAll("-", "")).toString());
}

function text(value) {
  return Buffer.from(value, "ascii");
}

function short(value) {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

// One element, explicit VR little endian (PS3.5 7.1.2).
function element(group, number, vr, value) {
  const padded = value.length % 2 ? Buffer.concat([value, Buffer.from(vr === "UI" || LONG.has(vr) ? "\0" : " ")]) : value;
  const head = Buffer.alloc(LONG.has(vr) ? 12 : 8);
  head.writeUInt16LE(group, 0);
  head.writeUInt16LE(number, 2);
  head.write(vr, 4, "ascii");
  if (LONG.has(vr)) head.writeUInt32LE(padded.length, 8);
  else head.writeUInt16LE(padded.length, 6);
  return Buffer.concat([head, padded]);
}

// A secondary capture of 8 bits in a study of its own, of a patient that there is not (PS3.10).
function picture() {
  const sopClass = text("1.2.840.10008.5.1.4.1.1.7");
  const instance = uid();
  const meta = Buffer.concat([
    element(2, 1, "OB", Buffer.from([0, 1])),
    element(2, 2, "UI", sopClass),
    element(2, 3, "UI", instance),
    element(2, 0x10, "UI", text("1.2.840.10008.1.2.1")),
    element(2, 0x12, "UI", text("2.25.1")),
  ]);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(meta.length);
  const numbers = [[2, 1], [0x10, SIDE], [0x11, SIDE], [0x100, 8], [0x101, 8], [0x102, 7], [0x103, 0]];
  const pixels = numbers.map(([number, value]) => element(0x28, number, "US", short(value)));
  pixels.splice(1, 0, element(0x28, 4, "CS", text("MONOCHROME2")));
  return Buffer.concat([
    Buffer.alloc(128), text("DICM"), element(2, 0, "UL", length), meta,
    element(8, 0x16, "UI", sopClass), element(8, 0x18, "UI", instance), element(8, 0x60, "CS", text("OT")),
    element(8, 0x64, "CS", text("SYN")), element(0x10, 0x10, "PN", text("Load^Test")),
    element(0x10, 0x20, "LO", text("load-artillery")), element(0x20, 0xd, "UI", uid()), element(0x20, 0xe, "UI", uid()),
    ...pixels, element(0x7fe0, 0x10, "OB", randomBytes(SIDE * SIDE)),
  ]);
}

async function authorize(request) {
  request.headers = request.headers ?? {};
  if (process.env.ISOCENTER_LOAD_KEY) request.headers.Authorization = "Bearer " + process.env.ISOCENTER_LOAD_KEY;
}

async function image(request) {
  request.headers = { ...request.headers, "Content-Type": "application/dicom" };
  request.body = picture();
}

async function stow(request) {
  const boundary = randomUUID();
  const kind = `multipart/related; type="application/dicom"; boundary=${boundary}`;
  request.headers = { ...request.headers, "Content-Type": kind };
  const head = text(`--${boundary}\r\nContent-Type: application/dicom\r\n\r\n`);
  request.body = Buffer.concat([head, picture(), text(`\r\n--${boundary}--\r\n`)]);
}

module.exports = { authorize, image, stow, picture };
