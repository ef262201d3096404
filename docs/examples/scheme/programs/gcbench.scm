; After Ellis, Kovac and Boehm's GCBench: trees built top down and bottom up, beside a long-lived tree and an array of floats.
(define-record-type node (make-node left right i j) node? (left node-left set-left!) (right node-right set-right!) (i node-i) (j node-j))
(define (empty-node) (make-node #f #f 0 0))

(define (tree-size depth) (- (expt 2 (+ depth 1)) 1))
(define (iterations depth stretch) (quotient (* 2 (tree-size stretch)) (tree-size depth)))

(define (populate depth node)
  (if (> depth 0)
      (begin
        (set-left! node (empty-node))
        (set-right! node (empty-node))
        (populate (- depth 1) (node-left node))
        (populate (- depth 1) (node-right node)))))
(define (make-tree depth)
  (if (<= depth 0)
      (empty-node)
      (let* ((left (make-tree (- depth 1))) (right (make-tree (- depth 1)))) (make-node left right 0 0))))
(define (count-nodes tree)
  (if (node-left tree) (+ 1 (count-nodes (node-left tree)) (count-nodes (node-right tree))) 1))

(define (time-construction depth stretch)
  (let ((n (iterations depth stretch)))
    (do ((i 0 (+ i 1))) ((>= i n)) (populate depth (empty-node)))
    (do ((i 0 (+ i 1))) ((>= i n)) (make-tree depth))
    n))

(define (gcbench stretch)
  (make-tree stretch)
  (let* ((long-lived-depth (- stretch 2)) (long-lived (empty-node)) (array (make-vector 500000 0.0)))
    (populate long-lived-depth long-lived)
    (do ((i 1 (+ i 1))) ((= i 250000)) (vector-set! array i (/ 1.0 (exact->inexact i))))
    (let loop ((depth 4) (done '()))
      (if (<= depth (- stretch 2))
          (loop (+ depth 2) (cons (time-construction depth stretch) done))
          (list (reverse done) (= (count-nodes long-lived) (tree-size long-lived-depth)) (vector-ref array 1000))))))

(write (gcbench 18))
(newline)
