// Zoom and pan of pictures: one `Zoom` moves all pictures that are in it, so that they show the same place.
import { el } from "./dom.mjs";

const STEP = 1.25;
const LARGEST = 16;
/** Pixels that a pointer may move between press and release and still click. */
const CLICK = 4;
/** The scale at which a pixel of a picture is one of the screen. */
const whole = () => 1 / devicePixelRatio;
// On the elements, not in a style sheet: pictures are placed before that would be there.
const WINDOW = { position: "relative", width: "100%", height: "100%", overflow: "hidden", touchAction: "none" };
const IMAGE = { position: "absolute", top: 0, left: 0, maxWidth: "none", transformOrigin: "0 0", userSelect: "none" };

/**
 * What part of its pictures is shown. `scale`: pixels of the page for one of the picture, 0: as large as fits;
 * `x`, `y`: the place of the picture in the middle, from 0 to 1.
 */
export class Zoom {
  constructor() {
    Object.assign(this, { scale: 0, x: 0.5, y: 0.5 });
    this.windows = new Set();
    this.heard = new Set();
  }

  /** Called when the view has changed; returns what ends that. */
  listen(heard) {
    this.heard.add(heard);
    return () => this.heard.delete(heard);
  }

  changed() {
    for (const each of this.windows) each.place();
    for (const heard of this.heard) heard(this);
  }

  fit() {
    Object.assign(this, { scale: 0, x: 0.5, y: 0.5 });
    this.changed();
  }

  full() {
    this.scale = whole();
    this.changed();
  }

  isFit() {
    return this.scale === 0;
  }

  isFull() {
    return this.scale === whole();
  }

  /** The window that is measured by where none is named. */
  usual() {
    return [...this.windows].find((window) => window.size);
  }

  /** Larger (`steps` > 0) or smaller, by a window's measure; `at`: [x, y] of the picture that stays in place. */
  by(steps, window = this.usual(), at = [this.x, this.y]) {
    if (!window?.size) return;
    const fitting = window.fitting();
    const before = Math.max(this.scale, fitting);
    const after = Math.min(before * STEP ** steps, Math.max(LARGEST, fitting));
    this.scale = after <= fitting * 1.001 ? 0 : after;
    const stays = before / Math.max(this.scale, fitting);
    this.x = at[0] + (this.x - at[0]) * stays;
    this.y = at[1] + (this.y - at[1]) * stays;
    this.bound(window);
    this.changed();
  }

  /** Moves the view by pixels of the page. */
  pan(right, down, window = this.usual()) {
    if (!window?.size) return;
    const [width, height] = window.size.map((side) => side * window.scale());
    this.x += right / width;
    this.y += down / height;
    this.bound(window);
    this.changed();
  }

  /** Keeps the window full of picture, as far as it is large enough. */
  bound(window) {
    const parts = window.size.map((side, axis) => window.box()[axis] / (side * window.scale()) / 2);
    const held = (value, part) => (part >= 0.5 ? 0.5 : Math.min(Math.max(value, part), 1 - part));
    [this.x, this.y] = [held(this.x, parts[0]), held(this.y, parts[1])];
  }

  /** What a key does; returns whether it did anything. Arrows pan only with `arrows`. */
  key(event, arrows = true) {
    const pan = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return false;
    if (event.key === "+" || event.key === "=") this.by(1);
    else if (event.key === "-") this.by(-1);
    else if (event.key === "0") this.fit();
    else if (event.key === "1") this.full();
    else if (pan && arrows && this.scale) this.pan(pan[0] * 60, pan[1] * 60);
    else return false;
    return true;
  }
}

/** A window on a picture, moved by `zoom`; `element` is put where the picture should be. */
export class ZoomWindow {
  /**
   * `wheel(event)`: whether the wheel zooms here (else what it does everywhere); `clicked(event)`: pressed without
   * being moved; `drags(event)`: whether the mouse moves the picture.
   */
  constructor(zoom, { wheel = () => true, clicked = () => {}, drags = () => true } = {}) {
    this.zoom = zoom;
    this.image = el("img", { draggable: false, alt: "", style: IMAGE });
    this.element = el("div", { class: "danlu-zoom", style: WINDOW }, this.image);
    this.element.addEventListener("wheel", (event) => wheel(event) && this.wheeled(event), { passive: false });
    this.element.addEventListener("pointerdown", (event) => this.pressed(event, clicked, drags));
    zoom.windows.add(this);
  }

  /** The picture's [width, height] in its own pixels. */
  show(size) {
    this.size = size;
    this.place();
  }

  remove() {
    this.zoom.windows.delete(this);
    this.element.remove();
  }

  box() {
    return [this.element.clientWidth || 1, this.element.clientHeight || 1];
  }

  fitting() {
    return Math.min(...this.box().map((side, axis) => side / this.size[axis]));
  }

  scale() {
    return Math.max(this.zoom.scale, this.fitting());
  }

  /** Of the picture, in pixels of the window: { size: [width, height], at: [left, top] }. */
  drawn() {
    const size = this.size.map((side) => side * this.scale());
    const at = size.map((side, axis) => {
      const room = this.box()[axis];
      const wanted = room / 2 - (axis ? this.zoom.y : this.zoom.x) * side;
      return side <= room ? (room - side) / 2 : Math.min(0, Math.max(room - side, wanted));
    });
    return { size, at };
  }

  place() {
    if (!this.size) return;
    const { size: [width, height], at: [left, top] } = this.drawn();
    Object.assign(this.image.style, {
      width: `${width}px`,
      height: `${height}px`,
      transform: `translate(${left}px, ${top}px)`,
      imageRendering: this.scale() >= 3 * whole() ? "pixelated" : "auto",
    });
  }

  /** The place of the picture below the pointer, from 0 to 1. */
  under(event) {
    const drawn = this.image.getBoundingClientRect();
    return [(event.clientX - drawn.left) / drawn.width, (event.clientY - drawn.top) / drawn.height];
  }

  wheeled(event) {
    event.preventDefault();
    event.stopPropagation();
    this.zoom.by(-Math.sign(event.deltaY), this, this.under(event));
  }

  pressed(event, clicked, drags) {
    if (event.button !== 0) return;
    let last = event;
    let moved = false;
    const move = (now) => {
      moved ||= Math.hypot(now.clientX - event.clientX, now.clientY - event.clientY) > CLICK;
      if (moved && drags(now)) this.zoom.pan(last.clientX - now.clientX, last.clientY - now.clientY, this);
      if (moved) last = now;
    };
    const end = (now) => {
      this.element.removeEventListener("pointermove", move);
      this.element.removeEventListener("pointerup", end);
      this.element.removeEventListener("pointercancel", end);
      if (!moved && now.type === "pointerup") clicked(now);
    };
    this.element.setPointerCapture(event.pointerId);
    this.element.addEventListener("pointermove", move);
    this.element.addEventListener("pointerup", end);
    this.element.addEventListener("pointercancel", end);
  }
}
