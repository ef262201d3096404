; Takeuchi's function where every return is the call of a continuation.
(define (ctak x y z) (call-with-current-continuation (lambda (k) (ctak-into k x y z))))
(define (ctak-into k x y z)
  (if (not (< y x))
      (k z)
      (call-with-current-continuation
        (lambda (k)
          (ctak-into k
                     (call-with-current-continuation (lambda (k) (ctak-into k (- x 1) y z)))
                     (call-with-current-continuation (lambda (k) (ctak-into k (- y 1) z x)))
                     (call-with-current-continuation (lambda (k) (ctak-into k (- z 1) x y))))))))
(write (let loop ((i 0) (last 0)) (if (= i 8) last (loop (+ i 1) (ctak 18 12 6)))))
(newline)
