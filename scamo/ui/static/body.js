// What moves and what is drawn of it: poses at a time, surfaces that take a pose, and the body among them.
//
// player.js, which is loaded after this file, plays them. Nothing here knows of the clock, the floor or the buttons. The first
// half only computes; tests/test_ui_motion_player.py runs it in node. A person is a skin: its bones stand at the first 22
// points of a figure and are turned as Python computed (`turns`). Where a model stretches a bone a little, the skin
// stretches with it; where it stretches one much, the bone ends at a limit.
"use strict";

(() => {
    function bytesOf(base64) {
        return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    }

    /** Base64 of little-endian int16, `steps` to one -> Float32Array. */
    function decode(base64, steps = 1000) {
        const view = new DataView(bytesOf(base64).buffer);
        return Float32Array.from({ length: view.byteLength / 2 }, (_, i) => view.getInt16(2 * i, true) / steps);
    }

    /** The frames before and after a time, and the share of the second; before the first and after the last frame nothing
     *  moves. */
    function framesAt(figure, seconds, fps) {
        const frame = Math.min(Math.max(seconds * fps, 0), figure.frames - 1);
        return [Math.floor(frame), Math.ceil(frame), frame - Math.floor(frame)];
    }

    /** The points at a time, [points, 3]; between frames a linear mix of both. */
    function poseAt(figure, seconds, fps) {
        const size = 3 * figure.points;
        const [first, second, share] = framesAt(figure, seconds, fps);
        const pose = new Float32Array(size);
        for (let i = 0; i < size; i++)
            pose[i] = figure.positions[first * size + i] * (1 - share) + figure.positions[second * size + i] * share;
        return pose;
    }

    /** Rotation vectors [n, 3] -> quaternions [n, 4], x y z w. */
    function quaternions(vectors) {
        const turns = new Float32Array((vectors.length / 3) * 4);
        for (let i = 0; i < vectors.length / 3; i++) {
            const vector = vectors.subarray(3 * i, 3 * i + 3);
            const angle = Math.hypot(...vector);
            const scale = angle > 1e-6 ? Math.sin(angle / 2) / angle : 0.5;
            turns.set([vector[0] * scale, vector[1] * scale, vector[2] * scale, Math.cos(angle / 2)], 4 * i);
        }
        return turns;
    }

    /** The turns at a time, quaternions [joints, 4]; between frames a mix of both along the shorter way. */
    function turnsAt(figure, seconds, fps) {
        const size = figure.turns.length / figure.frames;
        const [first, second, share] = framesAt(figure, seconds, fps);
        const now = new Float32Array(size);
        for (let at = 0; at < size; at += 4) {
            const a = figure.turns.subarray(first * size + at, first * size + at + 4);
            const b = figure.turns.subarray(second * size + at, second * size + at + 4);
            const way = a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3] < 0 ? -share : share;
            const mixed = [0, 1, 2, 3].map((i) => a[i] * (1 - share) + b[i] * way);
            const length = Math.hypot(...mixed);
            now.set(mixed.map((part) => part / length), at);
        }
        return now;
    }

    /** What `people_mesh` in scamo/ui/components/motion_player.py sends, as arrays: what all people have in common. */
    function unpackMesh(sent) {
        return { ...sent, faces: words(sent.faces), points: words(sent.points), regions: bytesOf(sent.regions),
            bones: bytesOf(sent.bones), weights: Float32Array.from(bytesOf(sent.weights), (share) => share / 255) };
    }

    /** Base64 of little-endian uint16. */
    function words(base64) {
        const view = new DataView(bytesOf(base64).buffer);
        return Uint16Array.from({ length: view.byteLength / 2 }, (_, i) => view.getUint16(2 * i, true));
    }

    /** What `person_shape` in scamo/ui/components/motion_player.py sends, on the mesh of all people. A point of the skin stands
     *  once for every colour it has; `points` says which it is, so that colours end sharply and light does not. */
    function unpackPerson(mesh, sent) {
        const skin = decode(sent.vertices, sent.steps);
        const normals = smoothNormals(skin, mesh.faces.map((corner) => mesh.points[corner]));
        const spread = (values, width) => {
            const out = new values.constructor(width * mesh.points.length);
            mesh.points.forEach((point, i) => out.set(values.subarray(width * point, width * (point + 1)), width * i));
            return out;
        };
        return { ...mesh, ...sent, vertices: spread(skin, 3), normals: spread(normals, 3), bones: spread(mesh.bones, 4),
            weights: spread(mesh.weights, 4) };
    }

    /** Unit normals [vertices, 3]; triangles are weighted by their area. */
    function smoothNormals(vertices, faces) {
        const normals = new Float32Array(vertices.length);
        const corner = (i) => vertices.subarray(3 * i, 3 * i + 3);
        for (let at = 0; at < faces.length; at += 3) {
            const [a, b, c] = [corner(faces[at]), corner(faces[at + 1]), corner(faces[at + 2])];
            const [u, v, w, x, y, z] = [b[0] - a[0], b[1] - a[1], b[2] - a[2], c[0] - a[0], c[1] - a[1], c[2] - a[2]];
            const across = [v * z - w * y, w * x - u * z, u * y - v * x];
            for (let k = at; k < at + 3; k++) for (let i = 0; i < 3; i++) normals[3 * faces[k] + i] += across[i];
        }
        for (let at = 0; at < normals.length; at += 3) {
            const length = Math.hypot(normals[at], normals[at + 1], normals[at + 2]) || 1;
            for (let i = at; i < at + 3; i++) normals[i] /= length;
        }
        return normals;
    }

    /** A pose whose bones are as long as a body's may be: what is longer or shorter is cut to the limit, and all beyond it moves
     *  along. The same as `clamp_bones` in scamo/body/person.py. */
    function clampBones({ parents, lengths, limits }, pose) {
        const out = pose.slice();
        parents.forEach((parent, joint) => {
            if (parent < 0) return;
            const bone = [0, 1, 2].map((i) => pose[3 * joint + i] - pose[3 * parent + i]);
            const length = Math.hypot(...bone);
            const wanted = Math.min(Math.max(length, limits[0] * lengths[joint]), limits[1] * lengths[joint]);
            for (let i = 0; i < 3; i++) out[3 * joint + i] = out[3 * parent + i] + (bone[i] * wanted) / Math.max(length, 1e-9);
        });
        return out;
    }

    /** The quaternion, x y z w, that turns by b and then by a. */
    function product([x, y, z, w], [a, b, c, d]) {
        return [
            w * a + x * d + y * c - z * b, w * b - x * c + y * d + z * a, w * c + x * b - y * a + z * d, w * d - x * a - y * b - z * c,
        ];
    }

    /** How high a point is above the joint whose turn is given. */
    function heightOf([x, y, z, s], [u, v, w]) {
        return 2 * (x * y + s * z) * u + (1 - 2 * (x * x + z * z)) * v + 2 * (y * z - s * x) * w;
    }

    /** The turn of a toe, bent up as little as keeps it above the floor, at most as far as toes bend. `height` is that of its
     *  joint. The same as `toe_bends` in scamo/body/toes.py. */
    function bentToe({ bends, sole }, tip, turn, height) {
        const room = Math.max(height + sole, sole) + 1e-4;
        let best = turn, highest = -Infinity;
        for (const bend of bends) {
            const bent = product(turn, bend);
            const lowest = Math.min(...tip.map((point) => heightOf(bent, point)));
            if (lowest >= -room) return bent;
            if (lowest > highest) [best, highest] = [bent, lowest];
        }
        return best;
    }

    /** The matrix of every bone, row by row [bones, 3, 4]: it turns about the joint, and moves the joint to its point of
     *  the pose. Joints are where they were when the skin was made, `unbind` turns that pose back; `sole` lifts the soles
     *  to the floor. */
    function boneMatrices(body, pose, turns) {
        const matrices = new Float32Array(12 * body.joints.length);
        body.joints.forEach(([u, v, w], bone) => {
            let turn = turns.subarray(4 * body.follows[bone], 4 * body.follows[bone] + 4);
            const toe = body.toes.indexOf(bone);
            if (toe >= 0) turn = bentToe(body, body.tips[toe], turn, pose[3 * bone + 1]);
            const [x, y, z, s] = product(turn, body.unbind[bone]);
            const rows = [
                [1 - 2 * (y * y + z * z), 2 * (x * y - s * z), 2 * (x * z + s * y)],
                [2 * (x * y + s * z), 1 - 2 * (x * x + z * z), 2 * (y * z - s * x)],
                [2 * (x * z - s * y), 2 * (y * z + s * x), 1 - 2 * (x * x + y * y)],
            ];
            rows.forEach(([a, b, c], i) => {
                const lift = i === 1 ? body.sole : 0;
                matrices.set([a, b, c, pose[3 * bone + i] + lift - a * u - b * v - c * w], 12 * bone + 4 * i);
            });
        });
        return matrices;
    }

    /** Write the skin over the bones: every vertex moves with the weighted mean of its bones. */
    function shapeSkin(body, matrices, positions, normals) {
        const { vertices, normals: rest, bones, weights } = body;
        const mean = new Float32Array(12);
        for (let vertex = 0; vertex < vertices.length / 3; vertex++) {
            mean.fill(0);
            for (let k = 4 * vertex; k < 4 * vertex + 4; k++)
                for (let i = 0, from = 12 * bones[k]; i < 12; i++) mean[i] += weights[k] * matrices[from + i];
            const at = 3 * vertex;
            const [x, y, z, u, v, w] = [vertices[at], vertices[at + 1], vertices[at + 2], rest[at], rest[at + 1], rest[at + 2]];
            for (let axis = 0; axis < 3; axis++) {
                const [a, b, c, d] = [mean[4 * axis], mean[4 * axis + 1], mean[4 * axis + 2], mean[4 * axis + 3]];
                positions[at + axis] = a * x + b * y + c * z + d;
                normals[at + axis] = a * u + b * v + c * w; // their length is not one; the shader normalises them
            }
        }
    }

    const computed = {
        decode, framesAt, poseAt, quaternions, turnsAt, unpackMesh, unpackPerson, clampBones, boneMatrices, shapeSkin,
    };
    if (typeof module !== "undefined") {
        module.exports = computed;
        return;
    }

    // ---- What it draws ----------------------------------------------------------------------------------------------

    /** A surface of `count` points that can take any pose: `Limbs` or `Skin`. */
    class Surface {
        constructor(count, triangles, material) {
            const geometry = new THREE.BufferGeometry();
            for (const name of ["position", "normal", "color"])
                geometry.setAttribute(name, new THREE.BufferAttribute(new Float32Array(3 * count), 3));
            geometry.setIndex(triangles);
            this.mesh = new THREE.Mesh(geometry, material);
            this.mesh.frustumCulled = false; // its bounds change with every pose
        }

        /** Take a figure's pose at a time. */
        pose(figure, time) {
            const { position, normal } = this.mesh.geometry.attributes;
            this.shape(figure, time, position.array, normal.array);
            position.needsUpdate = normal.needsUpdate = true;
        }

        /** colours: of the core, the left and the right side. */
        paint(colours) {
            const { color } = this.mesh.geometry.attributes;
            this.colour(colours.map((colour) => new THREE.Color(colour).toArray()), color.array);
            color.needsUpdate = true;
        }
    }

    /** A person's skin. tint: how much of a figure's own colour the shirt takes, 0 to 1. */
    class Skin extends Surface {
        constructor(person, material, tint = 0) {
            super(person.vertices.length / 3, new THREE.BufferAttribute(person.faces, 1), material);
            Object.assign(this, { person, tint });
        }

        shape(figure, time, positions, normals) {
            const pose = clampBones(this.person, poseAt(figure, time, figure.fps));
            const matrices = boneMatrices(this.person, pose, turnsAt(figure, time, figure.fps));
            shapeSkin(this.person, matrices, positions, normals);
        }

        colour([own], painted) {
            const { colours, shirt, regions } = this.person;
            const paint = colours.map((colour) => new THREE.Color(colour).toArray());
            paint[shirt] = paint[shirt].map((part, i) => part + this.tint * (own[i] - part));
            regions.forEach((region, i) => painted.set(paint[region], 3 * i));
        }
    }

    const asked = new Map(); // what was asked of the server, once for a page

    /** The answer of `body` in scamo/ui/components/motion_player.py; a request that failed is made again. */
    function ask(server, what, unpack) {
        if (!asked.has(what)) {
            const answer = server.body(what).then((sent) => {
                if (!sent) throw new Error("the server does not answer");
                return unpack(sent);
            });
            answer.catch(() => asked.delete(what));
            asked.set(what, answer);
        }
        return asked.get(what);
    }

    /** A person by name, a key of PEOPLE in scamo/body/person.py; `server` is asked when somebody is first shown. */
    async function thePerson(server, name) {
        const mesh = await ask(server, "mesh", unpackMesh);
        return ask(server, name, (sent) => unpackPerson(mesh, sent));
    }

    window.motionBody = { ...computed, Surface, Skin, thePerson };
})();
