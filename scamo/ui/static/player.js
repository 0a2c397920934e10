// The motion player: several figures on one floor and one clock, drawn by three.js (three.min.js beside this file).
//
// The first half only computes; tests/test_ui_motion_player.py runs it in node. The second half draws.
// A motion comes from scamo/ui/components/motion_player.py: int16 millimetres [frames, points, 3] in base64, Y up, at
// its own fps. The sticks are built round these points. What a body is, and how it is posed, is in body.js beside this
// file, which is loaded first.
"use strict";

(() => {
    const bodies = typeof module !== "undefined" ? require("./body.js") : window.motionBody;
    const { decode, poseAt, quaternions, framesAt } = bodies;
    const GAP = 0.9; // metres between neighbours' paths
    const ROW = 5; // figures in one row, before a second row begins behind it
    const TRAIL = { count: 6, every: 0.5 }; // how many past poses stay, and how many seconds lie between them

    const JOINTS = 22; // of a figure's points the first ones; the others follow a wrist or the head
    const FOLLOWS = [20, 21, 15, 15, 15];
    const SCALE = [[58, 123, 191], [240, 192, 74], [200, 50, 30]]; // from no error over half of the scale to its end

    // ---- What it computes -------------------------------------------------------------------------------------------

    /** Seconds from the first to the last frame of the longest figure. */
    function duration(figures) {
        return Math.max(0, ...figures.map((figure) => (figure.frames - 1) / figure.fps));
    }

    /** The clock a moment later: it starts again if it loops, and otherwise stops at the end. */
    function advance(time, step, end, loop) {
        const next = time + step;
        if (next < end) return { time: next, playing: true };
        return loop && end > 0 ? { time: next % end, playing: true } : { time: end, playing: false };
    }

    /** The floor that a figure's root covers: { left, right, near, far } in metres (x and z). */
    function ground(figure) {
        const box = { left: Infinity, right: -Infinity, far: Infinity, near: -Infinity };
        for (let i = 0; i < figure.positions.length; i += 3 * figure.points) {
            box.left = Math.min(box.left, figure.positions[i]);
            box.right = Math.max(box.right, figure.positions[i]);
            box.far = Math.min(box.far, figure.positions[i + 2]);
            box.near = Math.max(box.near, figure.positions[i + 2]);
        }
        return box;
    }

    /** A box `size` times as large, about the origin. */
    function scaled(box, size) {
        return Object.fromEntries(Object.entries(box).map(([side, at]) => [side, at * size]));
    }

    /** Offsets [x, z] that put figures beside each other, so that no paths cross; all zero when they are overlaid.
     *  The first figure is at the camera's left, which is -x; rows further back have smaller z. */
    function layOut(boxes, overlaid) {
        if (overlaid || boxes.length < 2) return boxes.map(() => [0, 0]);
        const offsets = [];
        let behind = 0;
        for (let start = 0; start < boxes.length; start += ROW) {
            const row = boxes.slice(start, start + ROW);
            const nearest = Math.max(...row.map((box) => box.near));
            const z = start === 0 ? 0 : behind - nearest - GAP;
            behind = z + Math.min(...row.map((box) => box.far));
            const width = row.reduce((sum, box) => sum + box.right - box.left, 0) + GAP * (row.length - 1);
            let x = -width / 2;
            for (const box of row) {
                offsets.push([x - box.left, z]);
                x += box.right - box.left + GAP;
            }
        }
        return offsets;
    }

    /** The middle of the floor that places [x, z] cover. */
    function middle(places) {
        return [0, 1].map((axis) => {
            const along = places.map((place) => place[axis]);
            return (Math.min(...along) + Math.max(...along)) / 2;
        });
    }

    /** The times of the past poses that are shown at a time, the latest first: multiples of `every`, so they do not move. */
    function trailTimes(time, { count, every } = TRAIL) {
        const latest = Math.ceil(time / every - 1e-6) - 1;
        return Array.from({ length: count }, (_, i) => (latest - i) * every).filter((past) => past >= 0);
    }

    /** The distance from a point at which a camera sees all `corners`, [x, y, z] relative to it. The camera looks down by
     *  `tilt` and from the side at `turn`; lens, turn and tilt are in degrees, aspect is width over height. */
    function distanceFor(corners, { lens, turn, tilt }, aspect) {
        const [sin, cos] = [Math.sin(radians(turn)), Math.cos(radians(turn))];
        const [down, level] = [Math.sin(radians(tilt)), Math.cos(radians(tilt))];
        const high = Math.tan(radians(lens / 2));
        return corners.reduce((distance, [x, y, z]) => {
            const [across, ahead] = [x * cos - z * sin, x * sin + z * cos];
            const [up, near] = [y * level - ahead * down, y * down + ahead * level];
            return Math.max(distance, near + Math.max(Math.abs(up), Math.abs(across) / aspect) / high);
        }, 0);
    }

    function radians(degrees) {
        return (degrees * Math.PI) / 180;
    }

    const SIDES = 9; // of a limb's cross-section
    const TILTS = [-90, -60, -30, 0, 0, 30, 60, 90].map(radians);
    const RING = TILTS.flatMap((tilt) =>
        Array.from({ length: SIDES }, (_, i) => {
            const turn = (2 * Math.PI * i) / SIDES;
            return [Math.cos(tilt) * Math.cos(turn), Math.cos(tilt) * Math.sin(turn), Math.sin(tilt)];
        }),
    );

    /** Triangles of `count` limbs, each two half balls of SIDES x 4 points with a cone between them. */
    function limbTriangles(count) {
        const indices = [];
        for (let limb = 0; limb < count; limb++)
            for (let ring = 0; ring + 1 < TILTS.length; ring++)
                for (let i = 0; i < SIDES; i++) {
                    const a = limb * RING.length + ring * SIDES + i;
                    const b = limb * RING.length + ring * SIDES + ((i + 1) % SIDES);
                    indices.push(a, b, b + SIDES, a, b + SIDES, a + SIDES);
                }
        return indices;
    }

    /** Write the limbs' surface round a pose. bones: [from, to, radius at from, radius at to, side]. */
    function shapeLimbs(pose, bones, positions, normals) {
        let at = 0;
        for (const [from, to, wide, narrow] of bones) {
            const a = [pose[3 * from], pose[3 * from + 1], pose[3 * from + 2]];
            const b = [pose[3 * to], pose[3 * to + 1], pose[3 * to + 2]];
            const along = unit([b[0] - a[0], b[1] - a[1], b[2] - a[2]]);
            const across = unit(cross(Math.abs(along[1]) < 0.9 ? [0, 1, 0] : [1, 0, 0], along));
            const third = cross(along, across);
            for (let i = 0; i < RING.length; i++) {
                const [u, v, w] = RING[i];
                const [end, radius] = i < RING.length / 2 ? [a, wide] : [b, narrow];
                for (let axis = 0; axis < 3; axis++, at++) {
                    normals[at] = u * across[axis] + v * third[axis] + w * along[axis];
                    positions[at] = end[axis] + radius * normals[at];
                }
            }
        }
    }

    function cross(a, b) {
        return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
    }

    function unit(v) {
        const length = Math.hypot(...v);
        return length > 1e-6 ? v.map((x) => x / length) : [0, 1, 0];
    }

    /** How far every joint is from where it should be at a time, metres [22]; between frames a mix of both. */
    function errorsAt(figure, seconds, fps) {
        const [first, second, share] = framesAt(figure, seconds, fps);
        return Array.from({ length: JOINTS }, (_, joint) => {
            const [a, b] = [first, second].map((frame) => figure.errors[frame * JOINTS + joint]);
            return a * (1 - share) + b * share;
        });
    }

    /** The colour of an error that is this share of the scale's end, as CSS has it. */
    function errorColour(share) {
        const along = Math.min(Math.max(share, 0), 1) * (SCALE.length - 1);
        const from = Math.min(Math.floor(along), SCALE.length - 2);
        const mixed = SCALE[from].map((part, i) => Math.round(part + (SCALE[from + 1][i] - part) * (along - from)));
        return `rgb(${mixed.join(", ")})`;
    }

    const computed = {
        ...bodies, duration, advance, ground, layOut, trailTimes, distanceFor, limbTriangles, shapeLimbs, errorsAt, errorColour,
    };
    if (typeof module !== "undefined") {
        module.exports = computed;
        return;
    }

    // ---- What it draws ----------------------------------------------------------------------------------------------

    const { Surface, Skin, thePerson } = bodies;
    const SOMEBODY = "neutral"; // who a figure is that says nothing of it
    const VIEW = { lens: 30, turn: -25, tilt: 14 }; // degrees
    const ROOM = [[-0.4, -0.4], [-0.4, 0.4], [0.4, -0.4], [0.4, 0.4]] // metres round the root, from the floor to above the head
        .flatMap(([x, z]) => [[x, -0.92, z], [x, 1.1, z]]);
    const MIDST = 0.9; // metres above the floor; the camera looks there
    const LIGHT = [0.45, 1, 0.35]; // the direction it comes from
    const SLOW = 50; // milliseconds between two pictures on a machine without a graphics card
    const FLAT = 0.004; // metres above the floor, the height of shadows and paths

    class Limbs extends Surface {
        constructor(bones, material) {
            super(bones.length * RING.length, limbTriangles(bones.length), material);
            this.bones = bones;
        }

        shape(figure, time, positions, normals) {
            shapeLimbs(poseAt(figure, time, figure.fps), this.bones, positions, normals);
        }

        colour(colours, painted) {
            this.bones.forEach(([, , , , side], limb) => {
                for (let i = 0; i < RING.length; i++) painted.set(colours[side], 3 * (limb * RING.length + i));
            });
        }

        /** Show errors [22] as colours, each end of a limb that of its joint. worst: where the scale ends. */
        paintErrors(errors, worst) {
            const { color } = this.mesh.geometry.attributes;
            const shades = errors.map((error) => SHADES[Math.round(Math.min(error / worst, 1) * (SHADES.length - 1))]);
            this.bones.forEach(([from, to], limb) => {
                const ends = [from, to].map((point) => shades[point < JOINTS ? point : FOLLOWS[point - JOINTS]]);
                for (let i = 0; i < RING.length; i++)
                    color.array.set(ends[i < RING.length / 2 ? 0 : 1], 3 * (limb * RING.length + i));
            });
            color.needsUpdate = true;
        }
    }

    const SHADES = Array.from({ length: 65 }, (_, i) => new THREE.Color(errorColour(i / 64)).toArray());
    const DOTS = Array.from({ length: JOINTS }, (_, joint) => [joint, joint, 0.03, 0.03, 0]); // limbs of no length

    /** One motion on the floor: its surface, its shadow, its path and its past poses. */
    class Figure {
        constructor(data) {
            Object.assign(this, data, { positions: decode(data.positions), shown: true, size: 1 });
            this.turns = quaternions(decode(data.turns, 10000));
            this.errors = data.errors && decode(data.errors);
            this.box = ground(this);
            this.group = new THREE.Group();
            this.paths = [0.25, 0.7].map((opacity) => this._path(opacity));
            this.worn = [];
        }

        /** Show it with the surface that `surface` makes of a material, `size` times as large, path and all. */
        wear(surface, size = 1) {
            discard(...this.worn);
            this.dots = null;
            this.size = size;
            this.group.scale.setScalar(size);
            this.surface = surface(new THREE.MeshLambertMaterial({ vertexColors: true }));
            this.ghosts = Array.from({ length: TRAIL.count }, (_, i) => {
                const faint = { vertexColors: true, transparent: true, opacity: 0.34 * (1 - i / TRAIL.count) };
                return Object.assign(surface(new THREE.MeshLambertMaterial(faint)), { past: null });
            });
            this.worn = [this.surface.mesh, this._shadow(), ...this.ghosts.map((ghost) => ghost.mesh)];
            this.group.add(...this.worn);
        }

        /** Show the errors as dots on the joints, which shine through the body that is worn. */
        addDots() {
            this.dots = new Limbs(DOTS, new THREE.MeshLambertMaterial({ vertexColors: true, transparent: true, depthTest: false }));
            this.dots.mesh.renderOrder = 1;
            this.worn.push(this.dots.mesh);
            this.group.add(this.dots.mesh);
        }

        /** The surface, flattened along the light. The stencil keeps overlapping limbs from darkening twice. */
        _shadow() {
            const material = new THREE.MeshBasicMaterial({
                color: 0, transparent: true, opacity: 0.16, depthWrite: false, stencilWrite: true,
                stencilRef: 0, stencilFunc: THREE.EqualStencilFunc, stencilZPass: THREE.IncrementStencilOp,
            });
            const shadow = new THREE.Mesh(this.surface.mesh.geometry, material);
            shadow.frustumCulled = false;
            shadow.matrixAutoUpdate = false;
            const [x, y, z] = LIGHT;
            shadow.matrix.set(1, -x / y, 0, 0, 0, 0, 0, FLAT, 0, -z / y, 1, 0, 0, 0, 0, 1);
            return shadow;
        }

        _path(opacity) {
            const points = new Float32Array(3 * this.frames);
            for (let frame = 0; frame < this.frames; frame++) {
                points[3 * frame] = this.positions[3 * this.points * frame];
                points[3 * frame + 1] = FLAT;
                points[3 * frame + 2] = this.positions[3 * this.points * frame + 2];
            }
            const geometry = new THREE.BufferGeometry().setAttribute("position", new THREE.BufferAttribute(points, 3));
            const line = new THREE.Line(geometry, new THREE.LineBasicMaterial({ transparent: true, opacity }));
            line.frustumCulled = false;
            this.group.add(line);
            return line;
        }

        show(time, trail) {
            this.now = poseAt(this, time, this.fps);
            this.surface.pose(this, time);
            this.dots?.pose(this, time);
            const limbs = this.dots ?? this.surface;
            if (this.errors && limbs.paintErrors) limbs.paintErrors(errorsAt(this, time, this.fps), this.worst);
            this.paths[1].geometry.setDrawRange(0, Math.min(this.frames, Math.floor(time * this.fps) + 1));
            const times = trail ? trailTimes(Math.min(time, (this.frames - 1) / this.fps)) : [];
            this.ghosts.forEach((ghost, i) => {
                ghost.mesh.visible = i < times.length;
                if (i < times.length && ghost.past !== times[i]) {
                    ghost.past = times[i];
                    ghost.pose(this, times[i]);
                }
            });
        }

        paint(dark) {
            this.colours = dark ? this.dark : this.light;
            for (const surface of [this.surface, ...this.ghosts]) surface.paint(this.colours);
            for (const path of this.paths) path.material.color.set(this.colours[0]);
        }

        dispose() {
            discard(...this.worn, ...this.paths);
            this.group.removeFromParent();
        }
    }

    /** Remove objects from the scene and free their memory. */
    function discard(...parts) {
        for (const part of parts) {
            part.removeFromParent();
            part.geometry.dispose();
            part.material.dispose();
        }
    }

    class Player {
        constructor(root, server) {
            Object.assign(this, { root, server });
            this.find = (name) => root.querySelector(name);
            Object.assign(this, { figures: [], time: 0, end: 0, playing: false, run: null, free: false });
            this.people = new Map(); // by name, once fetched
            this.pace = 0;
            this.option = { loop: true, follow: true, trail: false, overlaid: false };
            this.reduced = matchMedia("(prefers-reduced-motion: reduce)").matches;
            this._buildScene();
            this._listen();
            this._theme();
            // Whom most prompts show is fetched before the first motion comes, after what the page itself needs.
            if (window.motionFigure.shape === "person") setTimeout(() => thePerson(server, SOMEBODY).catch(() => {}), 400);
        }

        // -- scene

        _buildScene() {
            const canvas = this.find("canvas");
            this.renderer = new THREE.WebGLRenderer({ canvas, antialias: true, stencil: true });
            this.renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
            this.scene = new THREE.Scene();
            this.scene.fog = new THREE.Fog(0, 1, 2);
            this.camera = new THREE.PerspectiveCamera(VIEW.lens, 1, 0.1, 200);
            this.controls = new THREE.OrbitControls(this.camera, canvas);
            Object.assign(this.controls, {
                enablePan: false, enableZoom: false, minDistance: 1, maxDistance: 40, maxPolarAngle: Math.PI / 2 - 0.02,
            });
            canvas.style.touchAction = "pan-y"; // a finger that moves up or down scrolls the page; across, it turns the view
            const sun = new THREE.DirectionalLight(0xffffff, 1.7);
            sun.position.set(...LIGHT);
            this.scene.add(new THREE.HemisphereLight(0xffffff, 0xb8b0a8, 2.1), sun);
            const lines = [];
            for (let i = -16; i <= 16; i++)
                for (let j = -16; j < 16; j += 2) // short pieces: a long line vanishes when one end is behind the camera
                    lines.push(i, 0, j, i, 0, j + 2, j, 0, i, j + 2, 0, i);
            const grid = new THREE.BufferGeometry();
            grid.setAttribute("position", new THREE.BufferAttribute(new Float32Array(lines), 3));
            this.floor = new THREE.LineSegments(grid, new THREE.LineBasicMaterial());
            this.scene.add(this.floor);
            this._look([[-1, 1.6, 0], [1, -1.6, 0]], [0, MIDST, 0]);
        }

        /** Put the camera where it sees these corners, [x, y, z] relative to a point, in the direction of the first view. */
        _look(corners, target) {
            const distance = distanceFor(corners, VIEW, this.camera.aspect);
            const [turn, tilt] = [radians(VIEW.turn), radians(VIEW.tilt)];
            this.controls.target.set(...target);
            const way = [Math.sin(turn) * Math.cos(tilt), Math.sin(tilt), Math.cos(turn) * Math.cos(tilt)];
            this.camera.position.set(...way.map((x, axis) => target[axis] + distance * x));
            this.controls.update();
        }

        // -- figures

        /** Show a value of scamo/ui/components/motion_player.py. One of the same run keeps the clock and a view the user has chosen. */
        load(value) {
            for (const figure of this.figures) figure.dispose();
            const hidden = new Set(this.figures.filter((figure) => !figure.shown).map((figure) => figure.label));
            const same = value && value.run === this.run;
            this.run = value ? value.run : null;
            this.figures = value ? value.figures.map((data) => new Figure(data)) : [];
            this.bones = value ? value.bones : [];
            this.end = duration(this.figures);
            for (const figure of this.figures) {
                figure.shown = !(same && hidden.has(figure.label));
                this.scene.add(figure.group);
            }
            if (!same) {
                Object.assign(this, { time: 0, free: false });
                this.playing = !this.reduced;
            }
            this.root.classList.toggle("empty", !this.figures.length);
            this.playing = this.playing && this.figures.length > 0;
            this._choose();
            this._names();
            this._scale(value?.worst);
        }

        /** Show all figures as what was chosen; who has not been fetched yet is of sticks until then. */
        _dress() {
            for (const figure of this.figures) {
                const person = this.shape === "person" && this.people.get(this._who(figure));
                if (person) figure.wear((material) => new Skin(person, material, figure.tint), person.size);
                else figure.wear((material) => new Limbs(this.bones, material));
                if (person && figure.errors) figure.addDots();
            }
            this._theme();
        }

        /** The name of the person that a figure is shown as: the one chosen for the page, or the one of its prompt. */
        _who(figure) {
            const { who } = window.motionFigure;
            return who === "auto" ? (figure.person ?? SOMEBODY) : who;
        }

        /** Show what was chosen for the page. */
        async _choose() {
            this.shape = window.motionFigure.shape;
            this.find(".trouble").hidden = true;
            const missing = this._missing();
            this._dress();
            this._place();
            try {
                await Promise.all(missing.map(async (name) => this.people.set(name, await thePerson(this.server, name))));
            } catch (error) {
                console.warn("People cannot be shown:", error);
                this.find(".trouble").hidden = false;
                this.shape = "sticks";
            }
            if (!missing.length) return;
            this._dress();
            this._place();
        }

        /** The names of the people who are to be shown and have not been fetched. */
        _missing() {
            if (this.shape !== "person") return [];
            const names = new Set(this.figures.map((figure) => this._who(figure)));
            return [...names].filter((name) => !this.people.has(name));
        }

        _place() {
            const offsets = layOut(this.figures.map(({ box, size }) => scaled(box, size)), this.option.overlaid);
            this.figures.forEach((figure, i) => figure.group.position.set(offsets[i][0], 0, offsets[i][1]));
            if (!this.free) this._fit();
            this.wake();
        }

        /** The camera of the first view: it sees all figures at all times, whether it follows them or not. */
        _fit() {
            if (!this.figures.length) return;
            this._resize();
            const moments = Array.from({ length: Math.ceil(10 * this.end) + 1 }, (_, i) => this._places(i / 10));
            const standing = middle(moments.flat());
            const corners = moments.flatMap((places) => {
                const [x, z] = this.option.follow ? middle(places) : standing;
                return places.flatMap(([u, v]) => ROOM.map(([a, b, c]) => [u - x + a, b, v - z + c]));
            });
            const [x, z] = this.option.follow ? middle(this._places(this.time)) : standing;
            this._look(corners, [x, MIDST, z]);
        }

        /** The figures' places on the floor at a time, [x, z]. */
        _places(time) {
            const shown = this.figures.filter((figure) => figure.shown);
            return (shown.length ? shown : this.figures).map((figure) => {
                const [x, , z] = poseAt(figure, time, figure.fps);
                return [x * figure.size + figure.group.position.x, z * figure.size + figure.group.position.z];
            });
        }

        _names() {
            const several = this.figures.length > 1;
            this.find(".names").replaceChildren(...(several ? this.figures : []).map((figure) => {
                figure.name = document.createElement("span");
                figure.name.textContent = figure.label;
                return figure.name;
            }));
            this.find(".legend").replaceChildren(...(several ? this.figures : []).map((figure) => {
                const chip = document.createElement("button");
                chip.type = "button";
                figure.dot = document.createElement("i");
                chip.append(figure.dot, figure.label);
                chip.setAttribute("aria-pressed", figure.shown);
                chip.title = "Show or hide this figure";
                chip.onclick = () => {
                    figure.shown = !figure.shown;
                    chip.setAttribute("aria-pressed", figure.shown);
                    this.wake();
                };
                return chip;
            }));
            this._paintNames();
        }

        /** The legend of the errors, if there are any. worst: metres where the scale ends. */
        _scale(worst) {
            const scale = this.find(".scale");
            scale.hidden = !this.figures.some((figure) => figure.errors);
            if (scale.hidden) return;
            for (const figure of this.figures) figure.worst = worst;
            const stops = Array.from({ length: 9 }, (_, i) => errorColour(i / 8));
            scale.querySelector("i").style.background = `linear-gradient(to right, ${stops.join(", ")})`;
            scale.querySelector("b").textContent = `${Math.round(1000 * worst)} mm or more`;
        }

        _paintNames() {
            for (const { name, dot, colours } of this.figures) {
                if (name) name.style.color = colours[0];
                if (dot) dot.style.background = colours[0];
            }
        }

        _theme() {
            const dark = document.body.classList.contains("dark");
            const colour = (name) => getComputedStyle(this.root).getPropertyValue(name).trim();
            this.scene.background = new THREE.Color(colour("--stage"));
            this.scene.fog.color.set(colour("--stage"));
            this.floor.material.color.set(colour("--floor-line"));
            for (const figure of this.figures) figure.paint(dark);
            this._paintNames();
            this.wake();
        }

        // -- clock

        play(playing = true) {
            this.playing = playing && this.figures.length > 0;
            if (this.playing && this.time >= this.end) this.time = 0;
            this.wake();
        }

        seek(seconds) {
            this.time = Math.min(Math.max(seconds, 0), this.end);
            this.wake();
        }

        /** Ask for a picture. Nothing is computed while nothing moves or the player is out of sight. */
        wake() {
            this.asked ??= requestAnimationFrame((now) => this._frame(now));
        }

        _frame(now) {
            this.asked = null;
            if (!this.root.isConnected) return this.dispose();
            const gap = Math.min(now - (this.before ?? now), 250);
            this.pace += (gap - this.pace) / 8;
            const step = (gap / 1000) * this.find(".speed").value;
            this.before = this.playing ? now : null;
            if (this.playing) Object.assign(this, advance(this.time, step, this.end, this.option.loop));
            this._draw();
            if (!this.playing || this.seen === false) this.before = null;
            else if (this.pace < SLOW) this.wake();
            else setTimeout(() => this.wake(), this.pace / 2); // the other half of the processor generates motions
        }

        _draw() {
            this._resize();
            for (const figure of this.figures) {
                figure.group.visible = figure.shown;
                figure.show(this.time, this.option.trail);
            }
            if (this.option.follow && this.figures.length) {
                const [x, z] = middle(this._places(this.time));
                const move = new THREE.Vector3(x - this.controls.target.x, 0, z - this.controls.target.z);
                this.controls.target.add(move);
                this.camera.position.add(move);
            }
            const { target } = this.controls;
            this.floor.position.set(Math.round(target.x * 2) / 2, 0, Math.round(target.z * 2) / 2);
            const distance = this.camera.position.distanceTo(target);
            Object.assign(this.scene.fog, { near: distance, far: 2 * distance + 4 });
            this.renderer.render(this.scene, this.camera);
            this._label();
            this._say();
        }

        _label() {
            const { clientWidth: width, clientHeight: height } = this.find("canvas");
            const taken = [];
            for (const { name, now, group, shown, size } of this.figures) {
                if (!name) continue;
                const at = new THREE.Vector3(now[45], now[46] + 0.32, now[47]).multiplyScalar(size).add(group.position);
                at.project(this.camera);
                const [x, y] = [((at.x + 1) / 2) * width, ((1 - at.y) / 2) * height];
                const free = taken.every(([u, v]) => Math.abs(u - x) > 76 || Math.abs(v - y) > 20);
                name.hidden = !shown || at.z > 1 || !free; // the legend has the names without room
                if (!name.hidden) taken.push([x, y]);
                name.style.transform = `translate(${x}px, ${y}px) translate(-50%, -50%)`;
            }
        }

        _say() {
            this.root.classList.toggle("playing", this.playing);
            this.root.classList.toggle("overlaid", this.option.overlaid);
            this.find(".play").setAttribute("aria-label", this.playing ? "Pause" : "Play");
            const scrub = this.find(".scrub");
            scrub.max = this.end || 1;
            scrub.value = this.time;
            scrub.style.setProperty("--done", `${100 * (this.time / scrub.max)}%`);
            this.find(".clock").textContent = `${this.time.toFixed(1)} / ${this.end.toFixed(1)} s`;
            this.root.dispatchEvent(new CustomEvent("motion-time", { bubbles: true, detail: this.time }));
        }

        _resize() {
            const { clientWidth: width, clientHeight: height } = this.find("canvas");
            const size = `${width}x${height}`;
            if (!width || !height || size === this.size) return;
            this.size = size;
            this.renderer.setSize(width, height, false);
            this.camera.aspect = width / height;
            this.camera.updateProjectionMatrix();
            if (!this.free) this._fit();
        }

        // -- events

        _listen() {
            const canvas = this.find("canvas");
            this.find(".play").onclick = () => this.play(!this.playing);
            this.find(".scrub").oninput = (event) => {
                this.playing = false;
                this.seek(Number(event.target.value));
            };
            this.find(".reset").onclick = () => {
                this.free = false;
                this._place();
            };
            for (const button of this.root.querySelectorAll(".switch"))
                button.onclick = () => {
                    const name = button.dataset.option;
                    this.option[name] = !this.option[name];
                    button.setAttribute("aria-pressed", this.option[name]);
                    this._place();
                };
            this.chosen = () => this._choose();
            window.addEventListener("motion-figure", this.chosen);
            canvas.onkeydown = (event) => {
                if (event.key !== " ") return;
                event.preventDefault();
                this.play(!this.playing);
            };
            // The wheel scrolls the page until the picture is clicked.
            canvas.addEventListener("pointerdown", () => (this.controls.enableZoom = true));
            canvas.addEventListener("pointerleave", () => (this.controls.enableZoom = false));
            this.controls.addEventListener("start", () => (this.free = true));
            this.controls.addEventListener("change", () => this.wake());
            this.watchers = [
                new ResizeObserver(() => this.wake()),
                new IntersectionObserver((entries) => {
                    this.seen = entries.at(-1).isIntersecting; // of several entries the last one is current
                    this.wake();
                }),
                new MutationObserver(() => this._theme()),
            ];
            this.watchers[0].observe(canvas);
            this.watchers[1].observe(canvas);
            this.watchers[2].observe(document.body, { attributeFilter: ["class"] });
        }

        dispose() {
            for (const watcher of this.watchers) watcher.disconnect();
            window.removeEventListener("motion-figure", this.chosen);
            for (const figure of this.figures) figure.dispose();
            this.controls.dispose();
            this.renderer.dispose();
        }
    }

    window.motionFigure = { shape: "person", who: "auto" };

    /** Show all motions of this page as another figure. shape: "person" or "sticks"; who: "auto", or a person's name. */
    window.chooseFigure = (shape, who) => {
        window.motionFigure = { shape, who };
        window.dispatchEvent(new Event("motion-figure"));
    };

    /** Gradio calls this when the component is on the page. */
    window.mountMotionPlayer = (element, props, watch, server) => {
        const root = element.querySelector(".scamo-player");
        try {
            root.player = new Player(root, server);
        } catch (error) {
            console.warn("The 3D player cannot start:", error);
            root.classList.add("flat");
            root.querySelector(".hint").textContent = `This browser shows no 3D (WebGL). ${props.without}`;
            return;
        }
        const load = () => root.player.load(props.value || null);
        watch("value", load);
        load();
    };
})();
